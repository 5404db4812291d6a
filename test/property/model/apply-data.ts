/** The calls about the content of files, those through open descriptors too. */

import { apply, at, type Result, spotOf, unlink } from "./apply.ts";
import type { Call } from "./call.ts";
import { type Inode, inodeAt, type Path, type Tree, withInode } from "./tree.ts";

export function applyData(tree: Tree, call: Call): Result {
  switch (call.do) {
    case "read":
      return at(tree, call.path, true, ({ kind, content }) => (kind === "directory" ? "EISDIR" : read(content)));
    case "replace":
      return replace(tree, call.path, call.text);
    case "write":
      return opened(tree, call.path, "ENXIO", ({ content }, path) =>
        written(tree, path, over(content, call.offset, call.text)),
      );
    case "append":
      return opened(tree, call.path, "ENXIO", ({ content }, path) => written(tree, path, content + call.text));
    case "truncate":
      return opened(tree, call.path, "EINVAL", ({ content }, path) =>
        written(tree, path, content.slice(0, call.size).padEnd(call.size, "\0")),
      );
    case "allocate":
      return opened(tree, call.path, "ESPIPE", ({ content }, path) => written(tree, path, allocated(content, call)));
    case "map":
      return opened(tree, call.path, "ENODEV", ({ content }, path) =>
        content.length < call.text.length ? "too short" : written(tree, path, over(content, 0, call.text)),
      );
    case "write open":
      return opened(tree, call.path, "ESPIPE", ({ content }, path) => {
        const after = over(content, 0, call.text);
        return { tree: written(tree, path, after), outcome: read(after) };
      });
    case "unlink open":
      return opened(tree, call.path, "ESPIPE", ({ content }, path) => {
        const after = over(content, 0, call.text);
        const changed = written(tree, path, after);
        const removed = unlink(changed, call.path);
        return { tree: typeof removed === "string" || "tree" in removed ? tree : removed, outcome: read(after) };
      });
    default:
      throw new Error(`no call of the model: ${call.do}`);
  }
}

/** What a call that reads answers. */
export function read(content: string): string {
  return `read: ${content}`;
}

/** A file that is opened for writing; `onFifo` is what a fifo answers to what is done with it. */
function opened(tree: Tree, path: Path, onFifo: string, go: (inode: Inode, path: Path) => Result): Result {
  return at(tree, path, true, (inode, spot) => {
    if (inode.kind === "directory") return "EISDIR";
    return inode.kind === "fifo" ? onFifo : go(inode, spot.path);
  });
}

function written(tree: Tree, path: Path, content: string): Tree {
  return withInode(tree, path, { content, mtime: "now" });
}

/** What holds `text` from `offset` on; what was not written before it is zeros. */
function over(content: string, offset: number, text: string): string {
  return content.slice(0, offset).padEnd(offset, "\0") + text + content.slice(offset + text.length);
}

function replace(tree: Tree, path: Path, text: string): Result {
  const spot = spotOf(tree, path, true);
  if (typeof spot === "string") return spot;
  const inode = inodeAt(tree, spot.path);
  if (inode?.kind === "directory") return "EISDIR";
  if (inode?.kind === "fifo") return "ENXIO";
  if (inode !== undefined) return written(tree, spot.path, text);
  const { tree: made } = apply(tree, { do: "create", path: spot.path, mode: 0o644 });
  return written(made, spot.path, text);
}

/** fallocate(2): zeros where there was nothing, or in place of what there was. */
function allocated(content: string, { how, offset, length }: Extract<Call, { do: "allocate" }>): string {
  const end = offset + length;
  switch (how) {
    case "keepSize":
      return content;
    case "allocate":
      return content.padEnd(end, "\0");
    case "punchHole":
      return over(content, offset, "\0".repeat(length)).slice(0, content.length);
  }
}
