/** The merged tree in process against the kernel's, on generated stacks with every encoding a lowerdir may hold. */

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { isSystemError } from "../../src/errors.ts";
import { mountOverlay } from "../../src/mount/kernel-overlay.ts";
import { isMergedDirectory, type MergedEntry, MergedTree } from "../../src/overlay/merged-tree.ts";
import { bytesOf, childPath, type HostPath, joinHost, type LayerPath, parentPath } from "../../src/paths.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import {
  AT_FDCWD,
  chmod,
  chown,
  mknodAt,
  readlinkAt,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  setTimes,
  symlinkAt,
} from "../../src/sys/file.ts";
import { umount } from "../../src/sys/mount.ts";
import { type Stat, statAt, statAtOrNull } from "../../src/sys/stat.ts";
import { getXattr, listXattrs, setXattr } from "../../src/sys/xattr.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

const NAMES = ["a", "b", "c", "\xff"];

interface Node {
  readonly path: LayerPath;
  readonly kind: "directory" | "file" | "empty" | "symlink" | "whiteout" | "fifo" | "device";
  readonly content: string;
  readonly mode: number;
  readonly uid: number;
  readonly mtimeNs: bigint;
  /** Overlay marks and other attributes, by full name. */
  readonly xattrs: Readonly<Record<string, string>>;
}

const xattrs = fc
  .record({
    "trusted.overlay.opaque": fc.constantFrom("", "", "", "", "y", "x", "z"),
    "trusted.overlay.redirect": fc.constantFrom("", "", "", "", "a", "b", "/a", "/b/c", "/c/a/b"),
    "trusted.overlay.metacopy": fc.constantFrom("", "", "", "\0\x04\0\0"),
    "trusted.overlay.whiteout": fc.constantFrom("", "y"),
    "trusted.overlay.origin": fc.constantFrom("", "o"),
    "trusted.overlay.overlay.opaque": fc.constantFrom("", "y"),
    "trusted.overlay.overlay.overlay.x": fc.constantFrom("", "1"),
    "trusted.other": fc.constantFrom("", "2"),
    "user.overlay.redirect": fc.constantFrom("", "3"),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== "")));

const node: fc.Arbitrary<Node> = fc.record({
  path: fc
    .array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 })
    .map((names) => names.join("/") as LayerPath),
  kind: fc.constantFrom(
    "directory",
    "directory",
    "directory",
    "file",
    "file",
    "empty",
    "symlink",
    "whiteout",
    "fifo",
    "device",
  ),
  content: fc.string({ unit: fc.constantFrom("0", "1", "2"), minLength: 4, maxLength: 4 }),
  mode: fc.constantFrom(0o755, 0o644, 0o4711, 0o1777, 0),
  uid: fc.constantFrom(0, 1000, 0xfffffff0),
  mtimeNs: fc.constantFrom(0n, 1n, 1_700_000_000_123_456_789n, -1n),
  xattrs,
});

/** Writes what fits: a node below a file, or over another one, is left out. */
function writeLayer(root: HostPath, nodes: readonly Node[]): void {
  const written: Node[] = [];
  for (const each of nodes) {
    const parent = joinHost(root, parentPath(each.path));
    const path = joinHost(root, each.path);
    if (!makeParents(root, parentPath(each.path)) || statAtOrNull(AT_FDCWD, path) !== null) continue;
    create(parent, path, each);
    written.push(each);
  }
  for (const each of written.reverse()) setMetadata(joinHost(root, each.path), each); // children before their directory
}

function makeParents(root: HostPath, path: LayerPath): boolean {
  if (path === "") return true;
  if (!makeParents(root, parentPath(path))) return false;
  const stat = statAtOrNull(AT_FDCWD, joinHost(root, path));
  if (stat === null) mkdirSync(bytesOf(joinHost(root, path)));
  return stat === null || (stat.mode & S_IFMT) === S_IFDIR;
}

function create(parent: HostPath, path: HostPath, { kind, content }: Node): void {
  assert.ok(statAtOrNull(AT_FDCWD, parent));
  if (kind === "directory") mkdirSync(bytesOf(path));
  else if (kind === "symlink") symlinkAt(`../${content}`, AT_FDCWD, path);
  else if (kind === "whiteout") mknodAt(AT_FDCWD, path, S_IFCHR);
  else if (kind === "fifo") mknodAt(AT_FDCWD, path, S_IFIFO);
  else if (kind === "device") mknodAt(AT_FDCWD, path, S_IFCHR, 1, 3);
  else writeFileSync(bytesOf(path), kind === "empty" ? "" : content);
}

function setMetadata(path: HostPath, { kind, mode, uid, mtimeNs, xattrs }: Node): void {
  chown(AT_FDCWD, path, uid, uid);
  if (kind !== "symlink") chmod(AT_FDCWD, path, mode);
  for (const [name, value] of Object.entries(xattrs)) {
    if (name.startsWith("user.") && kind !== "file" && kind !== "directory") continue; // the host refuses these
    setXattr(path, name, Buffer.from(value));
  }
  setTimes(AT_FDCWD, path, mtimeNs, mtimeNs);
}

/** What one name shows: metadata, content and attributes in one line, or the errno it answers with. */
function shownByKernel(path: HostPath): string {
  return orErrno(() => describe(statAt(AT_FDCWD, path), path, path, xattrsOf(path)));
}

function shownInProcess(tree: MergedTree, entry: MergedEntry): string {
  return describe(entry.stat, entry.hostPath, entry.dataPath, tree.visibleXattrs(entry));
}

function describe(stat: Stat, path: HostPath, dataPath: HostPath, xattrs: ReadonlyMap<string, Buffer>): string {
  const kind = stat.mode & S_IFMT;
  const size = kind === S_IFDIR ? 0 : stat.sizeBytes;
  const content =
    kind === S_IFREG ? readFileSync(bytesOf(dataPath), "latin1") : kind === S_IFLNK ? readlinkAt(AT_FDCWD, path) : "";
  const attributes = [...xattrs].map(([name, value]) => `${name}=${value.toString("hex")}`).sort();
  const { mode, uid, gid, mtimeNs, rdevMajor, rdevMinor } = stat;
  return [mode.toString(8), uid, gid, mtimeNs, rdevMajor, rdevMinor, size, content, ...attributes].join(" ");
}

function xattrsOf(path: HostPath): ReadonlyMap<string, Buffer> {
  return new Map(listXattrs(path).map((name) => [name, getXattr(path, name) ?? Buffer.from("gone")]));
}

function orErrno(action: () => string): string {
  try {
    return action();
  } catch (error) {
    if (isSystemError(error)) return error.code;
    throw error;
  }
}

/** Every possible name, listed or not; then the listing, unless an entry of ours is an error. */
function compare(mounted: HostPath, tree: MergedTree, directory: MergedEntry): number {
  let compared = 0;
  for (const name of NAMES) {
    const path = childPath(directory.path, name);
    const found: MergedEntry[] = [];
    const ours = orErrno(() => {
      const entry = tree.lookup(path);
      if (entry === null) return "ENOENT";
      found.push(entry);
      return shownInProcess(tree, entry);
    });
    assert.equal(ours, shownByKernel(joinHost(mounted, path)), path);
    for (const entry of found) compared += 1 + (isMergedDirectory(entry) ? compare(mounted, tree, entry) : 0);
  }
  const shown = orErrno(() => kernelListing(joinHost(mounted, directory.path)));
  const names = orErrno(() =>
    tree
      .list(directory)
      .map((entry) => entry.name)
      .join("/"),
  );
  // A metacopy file without content makes our listing an error; the kernel's too, or not, depending on what it merges.
  if (names !== "EIO") assert.equal(names, shown, `names in ${directory.path}`);
  return compared;
}

/** The names that have a file: a directory that is not merged is listed as it is, whiteouts and all. */
function kernelListing(directory: HostPath): string {
  return listDirectory(directory)
    .map((entry) => entry.name)
    .filter((name) => shownByKernel(joinHost(directory, name)) !== "ENOENT")
    .join("/");
}

test("the merged tree shows what the kernel shows, for any stack of layers", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  let run = 0;
  let compared = 0;
  const stack = fc.array(fc.array(node, { maxLength: 14 }), { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(stack, (layers) => {
      const base = directory.host(String(run++));
      const lowerdirs = layers.map((nodes, index) => {
        const root = joinHost(base, String(index));
        mkdirSync(bytesOf(root), { recursive: true });
        writeLayer(root, nodes);
        return root;
      });
      const target = joinHost(base, "merged");
      mkdirSync(bytesOf(target));
      const options = { metacopy: true, redirectDir: "on" } as const;
      mountOverlay({ lowerdirs, upperdir: null, workdir: null, target, readOnly: true, options });
      try {
        const tree = new MergedTree(lowerdirs);
        compared += compare(target, tree, tree.root);
      } finally {
        umount(target);
      }
    }),
    { numRuns: 60 },
  );
  assert.ok(compared > 100, `only ${compared} entries were compared`);
});
