import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { argumentTexts, environmentText } from "../../../cli/arguments.ts";
import { hostPath } from "../../../src/paths.ts";

const node = ["/usr/bin/node", "/opt/cli.cjs"];
const never = (): Buffer => assert.fail("the command line was read for arguments that are UTF-8");

/** What node makes of these argument bytes, and what the kernel holds. */
function asNodeGivesThem(...args: readonly Buffer[]): { argv: string[]; commandLine: () => Buffer } {
  const argv = [...node, ...args.map((bytes) => bytes.toString("utf8"))];
  const raw = Buffer.concat([...node.map((text) => Buffer.from(text)), ...args].flatMap((b) => [b, Buffer.of(0)]));
  return { argv, commandLine: () => raw };
}

test("arguments that are UTF-8 are taken as node decoded them, without reading /proc", () => {
  assert.deepEqual(argumentTexts([...node, "mount", "größe", ""], never), ["mount", "größe", ""]);
});

test("an argument that is not UTF-8 turns back into its bytes", () => {
  const name = Buffer.from("a\xff\xc3\xa9\x80", "latin1");
  const { argv, commandLine } = asNodeGivesThem(Buffer.from("import"), name, Buffer.from(""));
  const texts = argumentTexts(argv, commandLine);
  assert.equal(texts[0], "import");
  assert.equal(texts[2], "");
  assert.equal(hostPath(texts[1] ?? ""), "a\xff\xc3\xa9\x80");
});

test("a real U+FFFD in an argument stays what it is", () => {
  const name = Buffer.from("\ufffd\ufffdx", "utf8");
  const { argv, commandLine } = asNodeGivesThem(name);
  const [text = ""] = argumentTexts(argv, commandLine);
  assert.equal(text, "\ufffd\ufffdx");
  assert.equal(hostPath(text), name.toString("latin1"));
});

test("any bytes but NUL pass through an argument unchanged", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 0, maxLength: 12 }), { minLength: 1, maxLength: 4 }), (list) => {
      const args = list.map((bytes) => Buffer.from(bytes).map((byte) => byte || 1)).map((bytes) => Buffer.from(bytes));
      const { argv, commandLine } = asNodeGivesThem(...args);
      assert.deepEqual(
        argumentTexts(argv, commandLine).map(hostPath),
        args.map((bytes) => bytes.toString("latin1")),
      );
    }),
  );
});

test("an environment variable that is not UTF-8 is read from the kernel's copy, and an empty one counts as unset", () => {
  const block = (): Buffer => Buffer.from("A=1\0LAYERCTL_ROOT=/x\xff\0B=2\0", "latin1");
  const text = environmentText("LAYERCTL_ROOT", { LAYERCTL_ROOT: "/x\ufffd" }, block);
  assert.equal(hostPath(text ?? ""), "/x\xff");
  assert.equal(environmentText("HOME", { HOME: "/root" }, never), "/root");
  assert.equal(environmentText("HOME", { HOME: "" }, never), undefined);
  assert.equal(environmentText("HOME", {}, never), undefined);
});
