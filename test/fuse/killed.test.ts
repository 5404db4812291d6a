import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isVisible } from "../../fuse/union/directory-index.ts";
import { lookup } from "../../fuse/union/lookup.ts";
import type { Node } from "../../fuse/union/node.ts";
import type { Union } from "../../fuse/union/union.ts";
import { setXattr } from "../../src/sys/xattr.ts";
import { requires } from "../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../helpers/temporary.ts";
import { writeTree } from "../helpers/tree.ts";
import { contentAt, openUnion, writeScene } from "../helpers/union-scene.ts";

const STEP = fileURLToPath(new URL("../helpers/union-step.ts", import.meta.url));
/** What a step publishes its work by, and what it does in between. It is killed at its first, its second … call of each. */
const CALLS = ["renameat", "renameat2", "unlinkat", "fchownat"];
const MOST = 9;

/** user::rwx, group::r-x, other::r-x. */
const ACL = Buffer.from("0200000001000700ffffffff04000500ffffffff20000500ffffffff", "hex");

function writeSteps(directory: TemporaryDirectory): string {
  const options = writeScene(directory, ["d/a=1 d/c=2 top=3 hidden/x=4"]);
  writeTree(directory.host("upper"), "top=5 -hidden/x");
  setXattr(directory.host("upper", "hidden"), "system.posix_acl_default", ACL);
  for (const name of ["upper", "upper/hidden", "layer0/hidden"]) chmodSync(directory.host(name), 0o755);
  return `${options},redirect_dir=on`;
}

/** All that is seen: paths, modes, owners, contents. */
function listing(union: Union, directory: Node = union.root, path = ""): string {
  const words: string[] = [];
  for (const { name } of [...union.indexOf(directory).listing()].filter(isVisible)) {
    const found = lookup(union, directory, name);
    if (found === null) continue;
    const { mode, uid } = found.stat;
    const at = `${path}${name}`;
    const inside = found.node.isDirectory ? `/ ${listing(union, found.node, `${at}/`)}` : `=${contentAt(union, at)}`;
    words.push(`${at}:${mode.toString(8)}:${uid}${inside}`);
  }
  return words.sort().join(" ");
}

/** Does a step in a process that is killed when it makes the n-th `call`. True if it came to that. */
function isKilledAt(call: string, n: number, options: string, step: string): boolean {
  const trace = ["-f", "-qq", "-e", `trace=${call}`, "-o", "/dev/null"];
  const inject = ["-e", `inject=${call}:signal=SIGKILL:when=${n}`];
  const { stderr, status, signal } = spawnSync("strace", [...trace, ...inject, process.execPath, STEP, options, step], {
    encoding: "utf8",
    timeout: 60_000,
  });
  if (status === 0) return false;
  assert.ok(signal === "SIGKILL" || status === 137, stderr);
  return true;
}

for (const step of [
  "writing to a file",
  "removing a file",
  "removing a directory",
  "moving a file",
  "moving a file over another",
  "moving a directory",
  "moving a directory over one that looks empty",
  "making a user's file",
  "making a file over a whiteout",
  "making a directory over a whiteout",
]) {
  test(`a server that is killed while ${step} has done it or has not`, {
    skip: requires("root", "program:strace"),
  }, async () => {
    const states = new Map<string, string>();
    for (const call of CALLS) {
      for (let n = 1, goesOn = true; goesOn && n <= MOST; n++) {
        await using directory = temporaryDirectory();
        const options = writeSteps(directory);
        {
          using union = openUnion(options);
          states.set(listing(union), "before");
        }
        goesOn = isKilledAt(call, n, options, step);
        using union = openUnion(options);
        const state = listing(union);
        if (!goesOn && !states.has(state)) states.set(state, "after");
        else if (!states.has(state)) states.set(state, `killed at ${call} ${n}`);
      }
    }
    const halfDone = [...states].filter(([, when]) => when.startsWith("killed"));
    assert.ok(states.size <= 2, JSON.stringify(halfDone));
  });
}
