/**
 * Restores the members of one layer tar below an empty directory, as a native overlayfs layer (OCI image-spec,
 * layer.md; kernel Documentation/filesystems/overlayfs.rst). It needs no other layer: what depends on the layers below
 * is returned, and `stitch` finishes it.
 *
 * Order matters: owner before mode (chown clears setuid), data and owner before security.capability (both clear it),
 * whiteouts after everything (an entry of the same layer wins), directory metadata last.
 */

import { createHash, type Hash, hash } from "node:crypto";
import { IntegrityError, isErrno } from "../../src/errors.ts";
import { escapeXattr } from "../../src/overlay/escape.ts";
import { setOpaque } from "../../src/overlay/opaque.ts";
import { makeWhiteout } from "../../src/overlay/whiteout.ts";
import { baseName, childPath, display, type LayerPath, parseLayerPath } from "../../src/paths.ts";
import {
  chmod,
  chown,
  close,
  linkAt,
  mknodAt,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openAt,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  setTimes,
  symlinkAt,
  truncate,
  writeAll,
  writeAllAt,
} from "../../src/sys/file.ts";
import { setXattr, type XattrTarget, xattrTargetAt } from "../../src/sys/xattr.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { TarHandler } from "../tar/reader.ts";
import { badPath, duplicate, LayerDirectories, type LayerDirectory } from "./directories.ts";
import type { FileDigestWriter } from "./file-digests.ts";
import type { ApplyLimits } from "./limits.ts";

/** What symlink(2) takes, with the NUL at the end. */
const PATH_MAX = 4096;
const WHITEOUT_PREFIX = ".wh.";
const OPAQUE_MARK = ".wh..wh..opq";
const AUFS_PREFIX = ".wh..wh.";
const SETID_BITS = 0o6000;
/** A directory that no layer describes. Its time is the epoch, so that the same layer always unpacks to the same tree. */
const IMPLICIT_MODE = 0o755;

/** A hard link whose target is not in this layer: a file of a lower one. */
export interface PendingLink {
  readonly path: LayerPath;
  readonly target: LayerPath;
}

/** What an unpacked layer holds, and what still depends on the layers below. */
export interface Unpacked {
  readonly entries: number;
  /** Content bytes of regular files and a name's worth for the rest, as stored: what `du` counts for the layer. */
  readonly sizeBytes: number;
  readonly inodes: number;
  /** Directories that take their metadata from below, parents first. */
  readonly implicitDirectories: readonly LayerPath[];
  readonly pendingLinks: readonly PendingLink[];
  /** Whiteouts that were made. One in a directory that is not in the layers below must go again. */
  readonly whiteouts: readonly LayerPath[];
  /** The layer hides everything below. */
  readonly opaqueRoot: boolean;
}

/** Feed it to a `TarReader`, then call `finish`. Disposing closes what is open. */
export class LayerUnpacker implements TarHandler, Disposable {
  readonly #directories: LayerDirectories;
  readonly #digests: FileDigestWriter;
  readonly #limits: ApplyLimits;
  readonly #whiteouts: LayerPath[] = [];
  readonly #pendingLinks: PendingLink[] = [];
  #entries = 0;
  /** Holes count: a reader of the tree pays for them. */
  #restoredBytes = 0;
  #inodes = 0;
  #sizeBytes = 0;

  // The regular file that is being restored; fd -1 when there is none.
  #fd = -1;
  #entry: TarEntry | null = null;
  #path = "" as LayerPath;
  #received = 0;
  #digest: string | null = null;
  #hash: Hash | null = null;
  #sparseOffset = 0;

  /** `rootFd` is an empty directory on the store's file system; the thread's umask must be 0. */
  constructor(rootFd: number, digests: FileDigestWriter, limits: ApplyLimits) {
    this.#directories = new LayerDirectories(rootFd);
    this.#digests = digests;
    this.#limits = limits;
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
    this.#directories[Symbol.dispose]();
  }

  entry(entry: TarEntry): void {
    this.#directories.trim();
    this.#entries += 1;
    this.#restoredBytes += entry.sizeBytes;
    if (this.#entries > this.#limits.maxEntries) throw tooLarge(entry, `${this.#limits.maxEntries} entries`);
    if (this.#restoredBytes > this.#limits.maxLayerBytes) throw tooLarge(entry, `${this.#limits.maxLayerBytes} bytes`);
    const path = parseLayerPath(entry.path);
    if (path === "") {
      if (entry.type !== "directory") throw badPath(path, "the root of a layer must be a directory");
      this.#directories.root.entry = entry;
      return;
    }
    const name = baseName(path);
    if (path.includes(WHITEOUT_PREFIX) && this.#whiteout(entry, path, name)) return;
    const parent = this.#directories.parentOf(path);
    if (entry.type === "directory") this.#directories.ensure(parent, name, entry);
    else this.#create(entry, parent, name);
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#fd < 0) return; // the body of a whiteout or of an AUFS leftover
    const entry = this.#entry;
    if (entry === null) return;
    if (entry.extents === null) {
      if (this.#received === 0 && bytes.length === entry.sizeBytes) this.#digest = hash("sha256", bytes, "binary");
      else this.#hashPart(bytes);
      writeAll(this.#fd, bytes);
    } else {
      this.#hashHole(offset);
      this.#hashPart(bytes);
      this.#sparseOffset = offset + bytes.length;
      writeAllAt(this.#fd, bytes, offset);
    }
    this.#received += bytes.length;
  }

  end(): void {
    const entry = this.#entry;
    if (entry === null || this.#fd < 0) return;
    if (entry.extents !== null) {
      this.#hashHole(entry.sizeBytes);
      truncate(this.#fd, entry.sizeBytes);
    }
    this.#restoreFileMetadata(this.#fd, entry);
    const fd = this.#fd;
    this.#fd = -1;
    close(fd);
    this.#entry = null;
    this.#sizeBytes += entry.extents === null ? entry.sizeBytes : this.#received;
    this.#digests.add(this.#digest ?? (this.#hash ?? createHash("sha256")).digest("binary"), this.#path);
  }

  /** Restores what must come last, and tells what is left to the layers below. */
  finish(): Unpacked {
    const whiteouts = this.#whiteouts.filter((path) => !this.#makeOpaque(path));
    const made = whiteouts.filter((path) => this.#makeWhiteout(path));
    const implicit: LayerPath[] = [];
    for (const directory of this.#directories.all()) {
      this.#inodes += 1;
      this.#finishDirectory(directory);
      if (directory.entry === null && directory.path !== "" && !isHidden(directory)) implicit.push(directory.path);
    }
    if (this.#directories.root.entry === null) implicit.unshift(this.#directories.root.path);
    this.#digests.flush();
    return {
      entries: this.#entries,
      sizeBytes: this.#sizeBytes,
      inodes: this.#inodes,
      implicitDirectories: implicit,
      pendingLinks: this.#pendingLinks,
      whiteouts: made,
      opaqueRoot: this.#directories.root.opaque,
    };
  }

  /** Handles marks of deletion. False if the member is an ordinary one after all. */
  #whiteout(entry: TarEntry, path: LayerPath, name: string): boolean {
    if (path.split("/").some((part) => part !== OPAQUE_MARK && part.startsWith(AUFS_PREFIX))) return true; // AUFS's own
    const inside = path.slice(0, path.length - name.length);
    if (inside.split("/").some((part) => part.startsWith(WHITEOUT_PREFIX))) {
      throw badPath(path, "a whiteout cannot have entries in it");
    }
    if (!name.startsWith(WHITEOUT_PREFIX)) return false;
    if (entry.type !== "file" && entry.type !== "hardlink") {
      throw badPath(path, `a whiteout must be an empty file, this one is a ${entry.type}`);
    }
    if (entry.sizeBytes > 0) throw badPath(path, "a whiteout must be an empty file, this one has content");
    if (name === OPAQUE_MARK) {
      this.#directories.parentOf(path).opaque = true;
      return true;
    }
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw badPath(path, "a whiteout must name what it hides");
    const parent = this.#directories.parentOf(path);
    this.#whiteouts.push(childPath(parent.path, hidden));
    return true;
  }

  /** A directory that is deleted below and made again here. */
  #makeOpaque(path: LayerPath): boolean {
    const own = this.#directories.get(path);
    if (own !== undefined) own.opaque = true;
    return own !== undefined;
  }

  /** False if there is nothing to hide, or it is hidden already. */
  #makeWhiteout(path: LayerPath): boolean {
    const parent = this.#directories.parentOf(path);
    if (isHidden(parent)) return false; // overlayfs shows whiteouts in directories that it need not merge
    try {
      makeWhiteout(this.#directories.fdOf(parent), baseName(path));
      this.#inodes += 1;
      return true;
    } catch (error) {
      if (isErrno(error, "EEXIST")) return false; // an entry of this layer hides it
      throw error;
    }
  }

  #create(entry: TarEntry, parent: LayerDirectory, name: string): void {
    const path = childPath(parent.path, name);
    const dirfd = this.#directories.fdOf(parent);
    try {
      switch (entry.type) {
        case "file":
          this.#fd = openAt(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, entry.mode);
          this.#entry = entry;
          this.#path = path;
          this.#received = 0;
          this.#sparseOffset = 0;
          this.#digest = null;
          this.#hash = null;
          break;
        case "symlink":
          checkTarget(entry.linkTarget, path);
          symlinkAt(entry.linkTarget, dirfd, name);
          this.#directories.addSymlink(path, entry.linkTarget);
          this.#restoreMetadata(dirfd, name, entry);
          break;
        case "hardlink":
          this.#link(entry, path, dirfd, name);
          return;
        default:
          this.#makeNode(entry, path, dirfd, name);
      }
    } catch (error) {
      if (isErrno(error, "EEXIST")) throw duplicate(path);
      throw error;
    }
    this.#inodes += 1;
  }

  #makeNode(entry: TarEntry, path: LayerPath, dirfd: number, name: string): void {
    if (entry.type === "character" && entry.deviceMajor === 0 && entry.deviceMinor === 0) {
      throw badPath(path, "it is a 0:0 character device, which overlayfs would take for a whiteout");
    }
    const type = { character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO }[entry.type as "character" | "block" | "fifo"];
    mknodAt(dirfd, name, type | entry.mode, entry.deviceMajor, entry.deviceMinor);
    if (entry.mode & SETID_BITS || entry.uid !== 0 || entry.gid !== 0) chown(dirfd, name, entry.uid, entry.gid);
    chmod(dirfd, name, entry.mode);
    this.#restoreMetadata(dirfd, name, entry);
  }

  /** Owner, xattrs and times of what has no descriptor of its own. */
  #restoreMetadata(dirfd: number, name: string, entry: TarEntry): void {
    if (entry.type === "symlink" && (entry.uid !== 0 || entry.gid !== 0)) chown(dirfd, name, entry.uid, entry.gid);
    if (entry.xattrs.size > 0) this.#restoreXattrs(xattrTargetAt(dirfd, name), entry);
    setTimes(dirfd, name, entry.mtimeNs, entry.mtimeNs);
  }

  #restoreFileMetadata(fd: number, entry: TarEntry): void {
    if (entry.uid !== 0 || entry.gid !== 0) {
      chown(fd, null, entry.uid, entry.gid);
      if (entry.mode & SETID_BITS) chmod(fd, null, entry.mode);
    }
    if (entry.xattrs.size > 0) this.#restoreXattrs(fd, entry);
    setTimes(fd, null, entry.mtimeNs, entry.mtimeNs);
  }

  #restoreXattrs(target: XattrTarget, entry: TarEntry): void {
    for (const [name, value] of entry.xattrs) {
      try {
        setXattr(target, escapeXattr(name), value);
      } catch (error) {
        if (!isErrno(error, "ENOTSUP", "EINVAL", "ERANGE", "E2BIG", "EPERM", "EACCES")) throw error;
        throw new IntegrityError(
          "ERR_LAYER_XATTR",
          `Cannot unpack "${display(entry.path)}": the file system refuses its attribute "${display(name)}" (${error.code})`,
          { data: { path: display(entry.path), name: display(name) }, cause: error },
        );
      }
    }
  }

  #link(entry: TarEntry, path: LayerPath, dirfd: number, name: string): void {
    const target = parseLayerPath(entry.linkTarget);
    if (target === "") throw badPath(path, "a hard link to the root");
    if (this.#directories.get(target) !== undefined) throw badPath(path, "a hard link to a directory");
    if (target === path) throw badPath(path, "a hard link to itself");
    const targetParent = this.#directories.findParentOf(target);
    if (targetParent !== null) {
      try {
        linkAt(this.#directories.fdOf(targetParent), baseName(target), dirfd, name);
        return;
      } catch (error) {
        if (!isErrno(error, "ENOENT")) throw error;
      }
    }
    this.#pendingLinks.push({ path, target });
  }

  #finishDirectory(directory: LayerDirectory): void {
    const { entry } = directory;
    this.#directories.trim();
    const fd = this.#directories.fdOf(directory);
    if (directory.opaque && directory.path !== "") setOpaque(fd);
    if (entry === null) {
      chmod(fd, null, IMPLICIT_MODE);
      setTimes(fd, null, 0n, 0n);
      return;
    }
    chown(fd, null, entry.uid, entry.gid);
    chmod(fd, null, entry.mode);
    if (entry.xattrs.size > 0) this.#restoreXattrs(fd, entry);
    setTimes(fd, null, entry.mtimeNs, entry.mtimeNs);
  }

  #hashPart(bytes: Buffer): void {
    this.#hash ??= createHash("sha256");
    this.#hash.update(bytes);
  }

  /** Feeds the hash the zeros between the last data and `offset`, as a reader of the file will see them. */
  #hashHole(offset: number): void {
    this.#hash ??= createHash("sha256");
    for (let left = offset - this.#sparseOffset; left > 0; left -= ZEROS.length) {
      this.#hash.update(left >= ZEROS.length ? ZEROS : ZEROS.subarray(0, left));
    }
  }
}

const ZEROS = Buffer.alloc(1 << 20);

/** The bounds of symlink(2), so that what breaks them is the layer's fault and not the host's. */
function checkTarget(target: string, path: LayerPath): void {
  if (target.length > 0 && target.length < PATH_MAX && !target.includes("\0")) return;
  throw badPath(path, `its target must have 1 to ${PATH_MAX - 1} bytes and no NUL, it has ${target.length} bytes`);
}

function tooLarge(entry: TarEntry, limit: string): IntegrityError {
  const path = display(entry.path);
  return new IntegrityError(
    "ERR_LAYER_TOO_LARGE",
    `Cannot unpack "${path}": with it the layer has more than the limit of ${limit}; raise the limit if you trust it`,
    { data: { path, limit } },
  );
}

/** True if nothing of the layers below shows at this directory. */
function isHidden(directory: LayerDirectory): boolean {
  for (let at: LayerDirectory | null = directory; at !== null; at = at.parent) if (at.opaque) return true;
  return false;
}
