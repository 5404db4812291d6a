/**
 * A tree as a value: names, and the inodes that they are names of. Two names of one inode are a hard link. Nothing is ever
 * changed in place: an operation makes another tree. Names, contents and attribute values are byte strings.
 */

import { display } from "../../../src/paths.ts";

/** From the root, without a slash at either end; "" is the root. */
export type Path = string;

/** Whole seconds since the epoch, or the time at which a call was made. */
export type Mtime = number | "now";

export interface Inode {
  readonly kind: "file" | "directory" | "symlink" | "fifo";
  /** Permissions, setuid, setgid and sticky bits. That of a symbolic link means nothing. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Mtime;
  /** What a file holds, or where a symbolic link leads; "" for others. */
  readonly content: string;
  readonly xattrs: Readonly<Record<string, string>>;
}

export interface Tree {
  readonly names: ReadonlyMap<Path, number>;
  /** By number. One without a name is not part of the tree any more. */
  readonly inodes: readonly Inode[];
}

/** The time that everything has that was given none. */
export const LONG_AGO = 1_000_000_000;

/** An inode of which the rest does not matter. */
export function inodeOf(kind: Inode["kind"], rest: Partial<Inode> = {}): Inode {
  const mode = kind === "directory" ? 0o755 : kind === "symlink" ? 0o777 : 0o644;
  return { kind, mode, uid: 0, gid: 0, mtime: LONG_AGO, content: "", xattrs: {}, ...rest };
}

/** A tree of a root and nothing in it. */
export const EMPTY: Tree = { names: new Map([["", 0]]), inodes: [inodeOf("directory")] };

export function inodeAt(tree: Tree, path: Path): Inode | undefined {
  const number = tree.names.get(path);
  return number === undefined ? undefined : tree.inodes[number];
}

export function parentOf(path: Path): Path {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

export function join(directory: Path, name: string): Path {
  return directory === "" ? name : `${directory}/${name}`;
}

/** True for everything below a directory, itself not. */
export function isBelow(path: Path, directory: Path): boolean {
  return path !== directory && (directory === "" || path.startsWith(`${directory}/`));
}

/** The names in a directory, sorted by bytes. */
export function namesIn(tree: Tree, directory: Path): readonly string[] {
  return [...tree.names.keys()]
    .filter((path) => path !== "" && parentOf(path) === directory)
    .map((path) => path.slice(path.lastIndexOf("/") + 1))
    .sort();
}

/** The tree with one inode changed, under all its names. */
export function withInode(tree: Tree, path: Path, change: Partial<Inode>): Tree {
  const number = tree.names.get(path);
  return { ...tree, inodes: tree.inodes.map((inode, at) => (at === number ? { ...inode, ...change } : inode)) };
}

/** The tree with one more name, of a new inode or of one that has a name already. */
export function withName(tree: Tree, path: Path, what: Inode | number): Tree {
  if (typeof what === "number") return { ...tree, names: new Map(tree.names).set(path, what) };
  return { names: new Map(tree.names).set(path, tree.inodes.length), inodes: [...tree.inodes, what] };
}

/** The tree without a name and everything below it. */
export function without(tree: Tree, path: Path): Tree {
  return { ...tree, names: new Map([...tree.names].filter(([each]) => each !== path && !isBelow(each, path))) };
}

/** How many names an inode has. */
export function linksOf(tree: Tree, path: Path): number {
  const number = tree.names.get(path);
  return [...tree.names.values()].filter((each) => each === number).length;
}

/** The whole tree to compare: a line for each path, sorted by bytes, first in the house notation, then all else. */
export function linesOf(tree: Tree): readonly string[] {
  const first = new Map<number, Path>();
  return [...tree.names].sort(byPath).map(([path, number]) => {
    const inode = tree.inodes[number] ?? inodeOf("file");
    const link = first.get(number);
    if (link === undefined) first.set(number, path);
    return lineOf(path, inode, link ?? null);
  });
}

export function byPath([a]: readonly [Path, unknown], [b]: readonly [Path, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `link`: the first of several names, where this is another. */
export function lineOf(path: Path, inode: Inode, link: Path | null): string {
  const { kind, mode, uid, gid, mtime, xattrs } = inode;
  const bits = kind === "symlink" ? "" : ` ${mode.toString(8).padStart(4, "0")}`;
  const attributes = Object.keys(xattrs)
    .sort()
    .map((name) => ` ${display(name)}="${display(xattrs[name] ?? "")}"`);
  const also = link === null ? "" : ` the same file as ${display(link)}`;
  return `${wordOf(path, inode)}${bits} ${uid}:${gid} @${mtime}${attributes.join("")}${also}`;
}

/** One path in the house notation. */
export function wordOf(path: Path, { kind, content }: Inode): string {
  const shown = shownName(path);
  switch (kind) {
    case "directory":
      return `${shown}/`;
    case "file":
      return `${shown}=${shownContent(content)}`;
    case "symlink":
      return `${shown}->${display(content)}`;
    case "fifo":
      return `${shown}|`;
  }
}

/** Long runs of one byte are counted. */
export function shownContent(content: string): string {
  return display(content.replace(/(.)\1{19,}/gs, (run, byte: string) => `${byte}{${run.length}}`));
}

function shownName(path: Path): string {
  return display(path.replace(/([^/])\1{19,}/gs, (run, byte: string) => `${byte}{${run.length}}`)).replaceAll(
    " ",
    "\\x20",
  );
}
