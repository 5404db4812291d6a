/**
 * The house notation for trees. One layer is a string of words: `a/` a directory, `a/x=1` a file with its content,
 * `l->target` a symbolic link, `-a/b` a whiteout, `c/!` an opaque directory; directories above are made as needed.
 * A stack is written base first. Layers are written as overlayfs has them on disk: character devices 0:0, and overlay
 * attributes in the trusted namespace as root, else in the user namespace.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  isMergedDirectory,
  type MergedEntry,
  MergedTree,
  type MergedTreeOptions,
} from "../../src/overlay/merged-tree.ts";
import { opaquenessOf, setOpaque } from "../../src/overlay/opaque.ts";
import { isWhiteout, makeWhiteout } from "../../src/overlay/whiteout.ts";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { bytesFromText, bytesOf, display, type HostPath, joinHost } from "../../src/paths.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import {
  AT_FDCWD,
  close,
  O_DIRECTORY,
  O_RDONLY,
  openAt,
  readlinkAt,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  symlinkAt,
} from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";

/** The namespace that this user can write: the root of a user namespace is not one who may write "trusted". */
export const writableNamespace: OverlayNamespace = canRestoreOwners() ? "trusted" : "user";

/** Writes one layer into `directory`, which is made if it is not there. */
export function writeTree(directory: HostPath, notation: string): void {
  mkdirSync(bytesOf(directory), { recursive: true });
  for (const word of notation.split(" ")) if (word !== "") writeWord(directory, bytesFromText(word));
}

function writeWord(directory: HostPath, word: string): void {
  if (word.startsWith("-")) {
    const [parent, name] = makeParents(directory, word.slice(1));
    const fd = openAt(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY);
    makeWhiteout(fd, name);
    close(fd);
  } else if (word.endsWith("/!")) {
    setOpaque(makeDirectory(directory, word.slice(0, -2)), writableNamespace);
  } else if (word.endsWith("/")) {
    makeDirectory(directory, word.slice(0, -1));
  } else if (word.includes("->")) {
    const [path = "", target = ""] = word.split("->");
    symlinkAt(target, AT_FDCWD, joinHost(...makeParents(directory, path)));
  } else {
    const equals = word.indexOf("=");
    if (equals < 0) throw new Error(`not in the house notation: ${word}`);
    const file = joinHost(...makeParents(directory, word.slice(0, equals)));
    writeFileSync(bytesOf(file), bytesOf(word.slice(equals + 1)));
  }
}

function makeParents(directory: HostPath, path: string): [HostPath, string] {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? [directory, path] : [makeDirectory(directory, path.slice(0, slash)), path.slice(slash + 1)];
}

function makeDirectory(directory: HostPath, path: string): HostPath {
  const made = joinHost(directory, path);
  mkdirSync(bytesOf(made), { recursive: true });
  return made;
}

/** Writes a stack, base first, into directories below `base`; they come back as lowerdirs, top first. */
export function writeLayers(base: HostPath, layers: readonly string[]): readonly HostPath[] {
  const directories = layers.map((notation, index) => {
    const directory = joinHost(base, `layer${index}`);
    writeTree(directory, notation);
    return directory;
  });
  return directories.reverse();
}

/** A real directory in the notation, whiteouts and opaque marks included, depth first in byte order. */
export function listTree(directory: HostPath, prefix = ""): string {
  const words: string[] = [];
  for (const { name } of listDirectory(directory)) {
    const [path, shown] = [joinHost(directory, name), prefix + name];
    const stat = statAt(AT_FDCWD, path);
    if (isWhiteout(stat)) words.push(display(`-${shown}`));
    else if ((stat.mode & S_IFMT) === S_IFDIR) {
      words.push(display(`${shown}/`));
      if (opaquenessOf(path, writableNamespace) === "opaque") words.push(display(`${shown}/!`));
      words.push(listTree(path, `${shown}/`));
    } else words.push(wordOf(shown, path, path, stat.mode));
  }
  return words.filter((word) => word !== "").join(" ");
}

/** A merged tree in the notation, depth first in byte order. */
export function listMerged(tree: MergedTree, directory: MergedEntry = tree.root): string {
  return tree
    .list(directory)
    .flatMap((entry) =>
      isMergedDirectory(entry)
        ? [display(`${entry.path}/`), listMerged(tree, entry)]
        : [wordOf(entry.path, entry.hostPath, entry.dataPath, entry.stat.mode)],
    )
    .filter((word) => word !== "")
    .join(" ");
}

/** What a stack, written base first below `base`, shows when merged in process. */
export function mergedListing(base: HostPath, layers: readonly string[], options: MergedTreeOptions = {}): string {
  return listMerged(new MergedTree(writeLayers(base, layers), { namespace: writableNamespace, ...options }));
}

function wordOf(shown: string, path: HostPath, dataPath: HostPath, mode: number): string {
  const kind = mode & S_IFMT;
  if (kind === S_IFLNK) return display(`${shown}->${readlinkAt(AT_FDCWD, path)}`);
  if (kind === S_IFREG) return display(`${shown}=${readFileSync(bytesOf(dataPath)).toString("latin1")}`);
  return display(`${shown}:${(kind >> 12).toString(8)}`); // a device, fifo or socket: its type's number
}
