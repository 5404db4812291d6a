/** The compiled code of a command (cli/start.ts, cli/code-keeper.ts), as an ordinary user has it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

test("the code of a command is kept whole, and made again if it is not; of what is no command nothing is kept", {
  skip: requires("user-namespace"),
}, async () => {
  await using directory = temporaryDirectory();
  const cache = join(directory.path, "layerctl");
  const run = (...args: readonly string[]) => {
    const env = { PATH: process.env.PATH ?? "", XDG_CACHE_HOME: directory.path };
    const user = ["--user", "--map-user=1000", LAYERCTL, ...args];
    const { status, stdout, stderr } = spawnSync("unshare", user, { encoding: "utf8", env });
    return { status, stdout, stderr };
  };

  assert.equal(run("nothing-such").status, 2);
  assert.equal(run("nosuch").status, 2);
  assert.deepEqual(readdirSync(directory.path), []);

  const first = run("completion", "bash");
  assert.deepEqual([first.status, first.stderr], [0, ""]);
  const [name = "", ...others] = readdirSync(cache);
  assert.deepEqual([name.endsWith("-completion"), others], [true, []]);
  assert.deepEqual([statSync(cache).mode & 0o777, statSync(join(cache, name)).mode & 0o777], [0o700, 0o600]);

  const whole = readFileSync(join(cache, name));
  const { mtimeMs } = statSync(join(cache, name));
  assert.deepEqual(run("completion", "bash"), first);
  assert.equal(statSync(join(cache, name)).mtimeMs, mtimeMs); // it was good

  const old = join(cache, "of-an-older-version");
  writeFileSync(old, "");
  utimesSync(old, 0, 0);
  for (const bytes of [0, 100, whole.length - 1]) {
    truncateSync(join(cache, name), bytes);
    assert.deepEqual(run("completion", "bash"), first);
    assert.ok(statSync(join(cache, name)).size > whole.length / 2);
    assert.deepEqual(readdirSync(cache), [name]);
  }
});

test("code is written again where much has been added to it", async () => {
  await using directory = temporaryDirectory();
  const [keeper, path] = [join(dirname(LAYERCTL), "../dist/code-keeper.cjs"), join(directory.path, "cache", "code")];
  const text = Array.from({ length: 500 }, (_, at) => `function f${at}(a) { return a + ${at} * f${at - 1}; }`).join(
    "\n",
  );
  const keepAll = (keptBytes: number): void => {
    const program = `
      const { Script } = require("node:vm");
      const script = new Script(process.env.TEXT);
      require(${JSON.stringify(keeper)}).keepCode(script, ${JSON.stringify(path)}, ${keptBytes});
      script.runInThisContext();`;
    const { status, stderr } = spawnSync(process.execPath, ["-e", program], { env: { TEXT: text }, encoding: "utf8" });
    assert.deepEqual([status, stderr], [0, ""]);
  };
  keepAll(0);
  const { ino, size } = statSync(path);
  keepAll(size - 100);
  assert.equal(statSync(path).ino, ino);
  keepAll(size - 32 * 1024);
  assert.notEqual(statSync(path).ino, ino);
  assert.deepEqual(readdirSync(dirname(path)), ["code"]);
});
