/**
 * A stack whose upperdir was mounted with `index=on`. There a file of a lower layer with several names is copied up once,
 * into `workdir/index`, and stays one file: the names that were not copied up show it too (overlayfs.rst, "Inode
 * properties"; fs/overlayfs/namei.c, `ovl_lookup_index`). An entry of the index is named by the hex of its lower file's
 * handle (`struct ovl_fh`, fs/overlayfs/overlayfs.h) and is a hard link of the copy in the upperdir.
 */

import { existsSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { bytesOf, type HostPath, joinHost, type LayerPath } from "../paths.ts";
import { listDirectory } from "../sys/directory.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_RDONLY, openAt } from "../sys/file.ts";
import { inoIn, openHandle } from "../sys/file-handle.ts";
import { type Stat, statAt, statAtOrNull } from "../sys/stat.ts";
import { getXattr } from "../sys/xattr.ts";
import { isMergedDirectory, type MergedEntry, MergedTree, type MergedTreeOptions } from "./merged-tree.ts";
import { isMetacopy } from "./metacopy.ts";
import { type OverrideAttribute, overriddenStat } from "./override-stat.ts";
import { isWhiteout } from "./whiteout.ts";
import { type OverlayNamespace, overlayXattr } from "./xattr-names.ts";

/** Version, magic, length, flags, type, and the UUID of the file system. */
const HEADER_BYTES = 21;
const MAGIC = 0xfb;
const TYPE = 4;

interface IndexedFile {
  readonly path: HostPath;
  readonly stat: Stat;
}

export interface IndexedTreeOptions extends MergedTreeOptions {
  /** `index` in the workdir. */
  readonly indexdir: HostPath;
}

/** As `MergedTree`; the first of the lowerdirs is the upperdir. */
export class IndexedTree extends MergedTree {
  /** True if names of lower layers show files of the upperdir: then a directory that is only below may have changed. */
  readonly hasAliases: boolean;
  /** The index and how it was before it was read. */
  readonly indexdir: IndexedFile;
  /** By the device and inode of the lower file. */
  readonly #copies: ReadonlyMap<string, IndexedFile>;
  readonly #namespace: OverlayNamespace;

  constructor(lowerdirs: readonly HostPath[], options: IndexedTreeOptions) {
    super(lowerdirs, options);
    const { indexdir, namespace = "trusted" } = options;
    this.#namespace = namespace;
    this.indexdir = { path: indexdir, stat: statAt(AT_FDCWD, indexdir) };
    const files = filesIn(indexdir).map((file) => shownFile(file, options.override ?? null));
    this.hasAliases = files.some((file) => hasAliases(file, namespace));
    this.#copies = this.hasAliases ? byLowerFile(files, lowerdirs.at(-1) ?? indexdir) : new Map();
  }

  override lookup(path: LayerPath): MergedEntry | null {
    const entry = super.lookup(path);
    return entry === null ? null : this.#copyOf(entry);
  }

  override list(directory: MergedEntry): readonly MergedEntry[] {
    const entries = super.list(directory);
    return this.hasAliases ? entries.map((entry) => this.#copyOf(entry)) : entries;
  }

  /** What a name of a lower layer shows. */
  #copyOf(entry: MergedEntry): MergedEntry {
    if (entry.stat.nlink < 2 || isMergedDirectory(entry) || entry.layers[0] === 0) return entry;
    const copy = this.#copies.get(keyOf(entry.stat));
    if (copy === undefined) return entry;
    const dataPath = isMetacopy(copy.path, this.#namespace) ? entry.dataPath : copy.path;
    const stat = copy.stat.withNlink(Math.max(copy.stat.nlink, entry.stat.nlink)); // the index may have the only link
    return { ...entry, stat, hostPath: copy.path, dataPath, layers: [0] };
  }
}

/** True if there is, in this workdir, a copy of a lower file that may have names of its own below. */
export function hasIndexEntries(workdir: HostPath): boolean {
  return existsSync(bytesOf(joinHost(workdir, "index"))) && filesIn(joinHost(workdir, "index")).length > 0;
}

function shownFile(file: IndexedFile, override: OverrideAttribute | null): IndexedFile {
  return override === null ? file : { path: file.path, stat: overriddenStat(file.stat, file.path, override) };
}

function keyOf(stat: Stat): string {
  return `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
}

/** The copies in an index: not its directories, whiteouts and unfinished files. */
function filesIn(indexdir: HostPath): readonly IndexedFile[] {
  return listDirectory(indexdir).flatMap(({ name, kind }) => {
    const path = joinHost(indexdir, name);
    const stat = kind === "directory" || name.startsWith("#") ? null : statAtOrNull(AT_FDCWD, path);
    return stat === null || isWhiteout(stat) ? [] : [{ path, stat }];
  });
}

/** True unless every name that the mount shows is in the upperdir. `overlay.nlink` says how many there are in all. */
function hasAliases({ path, stat }: IndexedFile, namespace: OverlayNamespace): boolean {
  const value = getXattr(path, overlayXattr(namespace, "nlink"))?.toString("latin1") ?? "";
  const match = /^U([+-]\d+)$/.exec(value);
  if (match === null) return true; // counted from the lower file ("L"), or not told
  const names = stat.nlink + Number(match[1]);
  const inUpperdir = stat.nlink - 1; // one link is the index's own
  return names > inUpperdir;
}

function byLowerFile(files: readonly IndexedFile[], lowerdir: HostPath): ReadonlyMap<string, IndexedFile> {
  const copies = new Map<string, IndexedFile>();
  const fd = openAt(AT_FDCWD, lowerdir, O_RDONLY | O_DIRECTORY);
  try {
    for (const file of files) {
      const key = lowerFileKey(fd, file.path);
      if (key !== null) copies.set(key, file);
    }
  } finally {
    close(fd);
  }
  return copies;
}

/** The key of the lower file that an entry of the index is named by; null if it is gone. */
function lowerFileKey(fd: number, path: HostPath): string | null {
  const handle = Buffer.from(bytesOf(path.slice(path.lastIndexOf("/") + 1)).toString(), "hex");
  if (handle.length <= HEADER_BYTES || handle[1] !== MAGIC || handle[2] !== handle.length) return null;
  const [type, bytes] = [handle[TYPE] ?? 0, handle.subarray(HEADER_BYTES)];
  let file: number | null;
  try {
    file = openHandle(fd, type, bytes);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    const ino = inoIn({ type, bytes }); // without the privilege: layers do not change, so it is the file of this number
    const { devMajor, devMinor } = statAt(fd, null);
    return ino === null ? null : `${devMajor}:${devMinor}:${ino}`;
  }
  if (file === null) return null;
  try {
    return keyOf(statAt(file, null));
  } finally {
    close(file);
  }
}
