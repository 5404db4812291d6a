import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { absolute, storeRoot } from "../../../cli/root.ts";
import { hostPath } from "../../../src/paths.ts";

const before = { ...process.env };

function setEnvironment(values: Readonly<Record<string, string>>): void {
  for (const name of ["LAYERCTL_ROOT", "XDG_DATA_HOME", "HOME"]) delete process.env[name];
  Object.assign(process.env, values);
}

afterEach(() => setEnvironment(before as Record<string, string>));

test("--root comes before LAYERCTL_ROOT, and that before the default", () => {
  setEnvironment({ LAYERCTL_ROOT: "/from/environment", HOME: "/home/u" });
  assert.equal(storeRoot("/from/option", true), "/from/option");
  assert.equal(storeRoot(undefined, false), "/from/environment");
  setEnvironment({ HOME: "/home/u" });
  assert.equal(storeRoot(undefined, true), "/var/lib/layerctl");
});

test("without root the store is in the user's data directory", () => {
  setEnvironment({ HOME: "/home/u", XDG_DATA_HOME: "/data" });
  assert.equal(storeRoot(undefined, false), "/data/layerctl");
  setEnvironment({ HOME: "/home/u", XDG_DATA_HOME: "relative/is/ignored" });
  assert.equal(storeRoot(undefined, false), "/home/u/.local/share/layerctl");
});

test("a user without a home directory is told to name a store", () => {
  setEnvironment({});
  assert.throws(() => storeRoot(undefined, false), { code: "ERR_ROOT_UNKNOWN", exitCode: 2 });
  assert.throws(() => storeRoot("", true), { code: "ERR_ROOT_EMPTY", exitCode: 2 });
});

test("a relative path counts from the working directory, and .. is left to the kernel", () => {
  const here = hostPath(process.cwd());
  assert.equal(absolute(hostPath("a/./b//c/")), `${here}/a/b/c`);
  assert.equal(absolute(hostPath("link/../x")), `${here}/link/../x`);
  assert.equal(absolute(hostPath(".")), here);
  assert.equal(absolute(hostPath("/")), "/");
});
