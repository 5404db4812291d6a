/** The conformance suite as the root of a user namespace, where overlay attributes are user attributes. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { requires } from "../helpers/requires.ts";

const RUN = fileURLToPath(new URL("../conformance/run.ts", import.meta.url));
const COMMAND = `${process.execPath} dist/cli.cjs fuse -o lowerdir=%L,upperdir=%U,workdir=%W,aufs=off`;
/** The groups that depend least on being root. */
const GROUPS = ["lookup", "unlink", "rename", "links", "copy-up", "random"];

for (const [words, subject] of [
  ["kernel overlayfs", "kernel"],
  ["our own over FUSE", `fuse=${COMMAND} %M`],
  ["our own over fuse-native", `fuse-native=${COMMAND} --transport fuse-native %M`],
] as const) {
  const native = subject.startsWith("fuse-native") ? (["fuse-native"] as const) : [];
  test(`${words} in a user namespace behaves as its list says`, {
    skip: requires("root", "overlay", "fuse", "user-namespace", "program:getfattr", ...native),
  }, async () => {
    const groups = GROUPS.flatMap((name) => ["--group", name]);
    const child = spawn(process.execPath, [RUN, "--unprivileged", "--subject", subject, ...groups]);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (output += String(bytes)));
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0, output);
  });
}
