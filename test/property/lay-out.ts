/** Layers and trees from values to disk: as calls, so that a script can make them the same way. */

import { setOpaque } from "../../src/overlay/opaque.ts";
import { makeWhiteout } from "../../src/overlay/whiteout.ts";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_RDONLY, openAt } from "../../src/sys/file.ts";
import { writableNamespace } from "../helpers/tree.ts";
import type { Call } from "./model/call.ts";
import type { Layer } from "./model/layers.ts";
import { byPath, type Inode, inodeAt, LONG_AGO, type Path, parentOf, type Tree } from "./model/tree.ts";
import { SystemCalls } from "./system-calls.ts";

const S_ISGID = 0o2000;

/** The calls that make a tree in an empty directory. Times come last, since making a name sets that of its directory. */
export function callsFor(tree: Tree): readonly Call[] {
  const first = new Map<number, Path>();
  const making: Call[] = [];
  const times: Call[] = [];
  for (const [path, number] of [...tree.names].sort(byPath)) {
    const inode = tree.inodes[number];
    const link = first.get(number);
    if (inode === undefined) continue;
    if (link === undefined) {
      first.set(number, path);
      const above = inodeAt(tree, parentOf(path))?.mode ?? 0;
      making.push(...makingOf(path, inode, (above & S_ISGID) !== 0));
      times.unshift({ do: "utimens", path, mtime: typeof inode.mtime === "number" ? inode.mtime : LONG_AGO });
    } else making.push({ do: "link", from: link, to: path });
  }
  return [...making, ...times];
}

/** `inherits`: it got its group from a setgid directory. */
function makingOf(path: Path, inode: Inode, inherits: boolean): readonly Call[] {
  const { kind, mode, uid, gid, content, xattrs } = inode;
  const calls: Call[] = [];
  if (kind === "directory" && path !== "") calls.push({ do: "mkdir", path, mode: 0o755 });
  else if (kind === "symlink") calls.push({ do: "symlink", target: content, path });
  else if (kind === "fifo") calls.push({ do: "mkfifo", path, mode: 0o644 });
  else if (kind === "file" && content === "") calls.push({ do: "create", path, mode: 0o644 });
  else if (kind === "file") calls.push(...writingOf(path, content));
  if (uid !== 0 || gid !== 0 || inherits) calls.push({ do: "chown", path, uid, gid });
  if (kind !== "symlink") calls.push({ do: "chmod", path, mode });
  for (const [name, value] of Object.entries(xattrs)) calls.push({ do: "setxattr", path, name, value, how: "set" });
  return calls;
}

/** What begins with zeros, and is large, has a hole there. */
function writingOf(path: Path, content: string): readonly Call[] {
  const zeros = /^\0*/.exec(content)?.[0].length ?? 0;
  if (zeros < 4096 || zeros === content.length) return [{ do: "replace", path, text: content }];
  return [
    { do: "create", path, mode: 0o644 },
    { do: "write", path, offset: zeros, text: content.slice(zeros) },
  ];
}

/** Makes a tree in a directory that is there and empty. @throws a system error */
export function writeTree(directory: HostPath, tree: Tree): void {
  const system = new SystemCalls(directory, 0);
  for (const call of callsFor(tree)) system.perform(call);
}

/** The same for a layer, as overlayfs has it on disk. @throws a system error */
export function writeLayer(
  directory: HostPath,
  { tree, whiteouts, opaque }: Layer,
  namespace: OverlayNamespace = writableNamespace,
): void {
  const calls = callsFor(tree);
  const system = new SystemCalls(directory, 0);
  const isTime = ({ do: verb }: Call): boolean => verb === "utimens";
  for (const call of calls) if (!isTime(call)) system.perform(call);
  for (const path of whiteouts) {
    const fd = openAt(AT_FDCWD, joinHost(directory, parentOf(path)), O_RDONLY | O_DIRECTORY);
    makeWhiteout(fd, path.slice(path.lastIndexOf("/") + 1));
    close(fd);
  }
  for (const path of opaque) setOpaque(joinHost(directory, path), namespace);
  for (const call of calls) if (isTime(call)) system.perform(call);
}
