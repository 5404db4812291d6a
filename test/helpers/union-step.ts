/** Run as a process of its own, to be killed in the middle of it: `union-step.ts OPTIONS STEP` does one thing to a union. */

import { create } from "../../fuse/union/create.ts";
import { rmdir, unlink } from "../../fuse/union/remove.ts";
import { rename } from "../../fuse/union/rename.ts";
import type { Union } from "../../fuse/union/union.ts";
import { S_IFDIR, S_IFREG } from "../../src/sys/file.ts";
import { nodeAt, openUnion, ROOT, writeOver } from "./union-scene.ts";

const USER = { uid: 1000, gid: 1000, pid: 1 };

/** By what a test calls it. */
const STEPS: Readonly<Record<string, (union: Union) => void>> = {
  "writing to a file": (union) => writeOver(union, "d/a", "A"),
  "removing a file": (union) => unlink(union, nodeAt(union, "d"), "a"),
  "removing a directory": (union) => rmdir(union, union.root, "hidden"),
  "moving a file": (union) => rename(union, nodeAt(union, "d"), "a", union.root, "b", 0),
  "moving a file over another": (union) => rename(union, nodeAt(union, "d"), "a", union.root, "top", 0),
  "moving a directory": (union) => rename(union, union.root, "d", union.root, "e", 0),
  "moving a directory over one that looks empty": (union) => rename(union, union.root, "d", union.root, "hidden", 0),
  "making a user's file": (union) => void create(union, USER, union.root, "new", { mode: S_IFREG | 0o4755, umask: 0 }),
  "making a file over a whiteout": (union) => {
    create(union, USER, nodeAt(union, "hidden"), "x", { mode: S_IFREG | 0o644, umask: 0 });
  },
  "making a directory over a whiteout": (union) => {
    create(union, ROOT, nodeAt(union, "hidden"), "x", { mode: S_IFDIR | 0o755, umask: 0 });
  },
};

const [options = "", step = ""] = process.argv.slice(2);
using union = openUnion(options);
process.umask(0);
nodeAt(union, "d/a");
STEPS[step]?.(union);
