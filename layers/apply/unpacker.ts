/**
 * Restores the members of one layer tar below an empty directory, as a native overlayfs layer (OCI image-spec,
 * layer.md; kernel Documentation/filesystems/overlayfs.rst). It needs no other layer: what depends on the layers below
 * is returned, and `stitch` finishes it.
 *
 * Order matters: whiteouts after everything (an entry of the same layer wins), directory metadata last.
 */

import { IntegrityError, isErrno } from "../../src/errors.ts";
import { type LayerForm, NATIVE } from "../../src/overlay/layer-form.ts";
import { backingMode } from "../../src/overlay/override-stat.ts";
import {
  baseName,
  byteString,
  bytesOf,
  childPath,
  display,
  type LayerPath,
  parentPath,
  parseLayerPath,
  ROOT,
} from "../../src/paths.ts";
import {
  linkAt,
  mknodAt,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openAt,
  S_IFREG,
  symlinkAt,
} from "../../src/sys/file.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { TarHandler } from "../tar/reader.ts";
import { badPath, duplicate, LayerDirectories, type LayerDirectory, type UnfinishedDirectory } from "./directories.ts";
import type { DirectoryMetadata } from "./directory-record.ts";
import type { FileDigestWriter } from "./file-digests.ts";
import type { ApplyLimits } from "./limits.ts";
import { restoreDirectory, restoreNode, typeOfNode } from "./metadata.ts";
import { putWhiteout } from "./put-whiteout.ts";
import { RecordWriter, readRecords } from "./record-file.ts";
import { RegularFile } from "./regular-file.ts";
import { type SkippedXattr, SkippedXattrs } from "./skipped-xattrs.ts";
import type { UnsettledWriter } from "./unsettled.ts";

/** What symlink(2) takes, with the NUL at the end. */
const PATH_MAX = 4096;
const WHITEOUT_PREFIX = ".wh.";
const OPAQUE_MARK = ".wh..wh..opq";
const AUFS_PREFIX = ".wh..wh.";
const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
/** Of a directory that no layer describes. Its time is the epoch, so that the same layer always unpacks to the same tree. */
const IMPLICIT: DirectoryMetadata = { uid: 0, gid: 0, mode: 0o755, mtimeNs: 0n, xattrs: new Map() };

/** What an unpacked layer holds, and what still depends on the layers below. */
export interface Unpacked {
  readonly entries: number;
  /** Content bytes of regular files and a name's worth for the rest, as stored: what `du` counts for the layer. */
  readonly sizeBytes: number;
  readonly inodes: number;
  /** How much there is to be settled with the layers below: directories, whiteouts, links (`unsettled.ts`). */
  readonly unsettled: number;
  /** The layer hides everything below. */
  readonly opaqueRoot: boolean;
  readonly skippedXattrs: readonly SkippedXattr[];
}

/** Where a layer is unpacked: open descriptors, which the caller closes. */
export interface UnpackPlace {
  /** An empty directory on the store's file system. */
  readonly rootFd: number;
  /** Two empty files for reading and writing, of which nothing is needed afterwards. */
  readonly scratchFds: readonly [number, number];
  readonly digests: FileDigestWriter;
  readonly unsettled: UnsettledWriter;
}

/** Feed it to a `TarReader`, then call `finish`. Disposing closes what is open. */
export class LayerUnpacker implements TarHandler, Disposable {
  readonly #directories: LayerDirectories;
  readonly #digests: FileDigestWriter;
  readonly #unsettled: UnsettledWriter;
  readonly #limits: ApplyLimits;
  readonly #form: LayerForm;
  readonly #skipped = new SkippedXattrs();
  readonly #rootFd: number;
  #rootMetadata: DirectoryMetadata | null = null;
  /** Paths that are to be hidden. */
  readonly #whiteouts: RecordWriter;
  readonly #whiteoutsFd: number;
  #entries = 0;
  /** Holes count: a reader of the tree pays for them. */
  #restoredBytes = 0;
  #inodes = 0;
  #sizeBytes = 0;

  /** The regular file whose content comes next. */
  #file: RegularFile | null = null;

  /** The thread's umask must be 0. */
  constructor({ rootFd, scratchFds, digests, unsettled }: UnpackPlace, limits: ApplyLimits, form: LayerForm = NATIVE) {
    this.#form = form;
    const [directoriesFd, whiteoutsFd] = scratchFds;
    this.#rootFd = rootFd;
    this.#directories = new LayerDirectories(rootFd, directoriesFd, form.namespace);
    this.#whiteoutsFd = whiteoutsFd;
    this.#whiteouts = new RecordWriter(() => whiteoutsFd);
    this.#digests = digests;
    this.#unsettled = unsettled;
    this.#limits = limits;
  }

  [Symbol.dispose](): void {
    this.#file?.[Symbol.dispose]();
    this.#file = null;
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
      this.#rootMetadata = entry;
      return;
    }
    const name = baseName(path);
    if (path.includes(WHITEOUT_PREFIX) && this.#whiteout(entry, path, name)) return;
    const parent = this.#directories.parentOf(path);
    if (entry.type === "directory") this.#directories.add(parent, name, entry);
    else this.#create(entry, parent, name);
  }

  data(bytes: Buffer, offset: number): void {
    this.#file?.write(bytes, offset); // null: the body of an AUFS leftover
  }

  end(): void {
    using file = this.#file;
    this.#file = null;
    if (file === null) return;
    const { digest, path, form, writtenBytes } = file.finish(this.#skipped, this.#form);
    this.#sizeBytes += writtenBytes;
    this.#digests.add(digest, path, form);
  }

  /** Restores what must come last, and tells what is left to the layers below. */
  finish(): Unpacked {
    this.#whiteouts.flush();
    for (const path of this.#hiddenPaths()) this.#directories.replace(path);
    for (const path of this.#hiddenPaths()) this.#makeWhiteout(path);
    this.#finishRoot();
    for (const directory of this.#directories.unfinished()) this.#finishDirectory(directory);
    this.#digests.flush();
    this.#unsettled.flush();
    return {
      entries: this.#entries,
      sizeBytes: this.#sizeBytes,
      inodes: this.#inodes + this.#directories.count,
      unsettled: this.#unsettled.count,
      opaqueRoot: this.#directories.isRootOpaque,
      skippedXattrs: this.#skipped.list(),
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
      this.#directories.makeOpaque(this.#directories.parentOf(path));
      return true;
    }
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw badPath(path, "a whiteout must name what it hides");
    const parent = this.#directories.parentOf(path);
    this.#whiteouts.add(bytesOf(childPath(parent.path, hidden)));
    return true;
  }

  *#hiddenPaths(): Generator<LayerPath, void, void> {
    for (const record of readRecords(this.#whiteoutsFd)) {
      this.#directories.trim();
      yield byteString(record) as LayerPath;
    }
  }

  /** Unless there is nothing to hide, or it is hidden already. */
  #makeWhiteout(path: LayerPath): void {
    if (this.#directories.isHidden(parentPath(path))) return; // overlayfs shows those in directories that it need not merge
    try {
      putWhiteout(this.#directories.parentOf(path).fd, baseName(path), path);
    } catch (error) {
      if (isErrno(error, "EEXIST")) return; // an entry of this layer hides it
      throw error;
    }
    this.#inodes += 1;
    this.#unsettled.add("whiteout", path);
  }

  #create(entry: TarEntry, parent: LayerDirectory, name: string): void {
    const path = childPath(parent.path, name);
    const dirfd = parent.fd;
    try {
      switch (entry.type) {
        case "file":
          this.#file = new RegularFile(openAt(dirfd, name, NEW_FILE, this.#modeOf(entry.mode)), entry, path);
          break;
        case "symlink":
          checkTarget(entry.linkTarget, path);
          symlinkAt(entry.linkTarget, dirfd, name);
          restoreNode(dirfd, name, entry, this.#skipped, this.#form);
          break;
        case "hardlink":
          this.#link(entry, path, dirfd, name);
          return;
        default:
          makeNode(entry, path, dirfd, name, this.#form);
          restoreNode(dirfd, name, entry, this.#skipped, this.#form);
      }
    } catch (error) {
      if (isErrno(error, "EEXIST")) throw duplicate(path);
      throw error;
    }
    this.#inodes += 1;
  }

  #modeOf(mode: number): number {
    return this.#form.override === null ? mode : backingMode(S_IFREG | mode) & 0o7777;
  }

  #link(entry: TarEntry, path: LayerPath, dirfd: number, name: string): void {
    const target = parseLayerPath(entry.linkTarget);
    if (target === "") throw badPath(path, "a hard link to the root");
    if (target === path) throw badPath(path, "a hard link to itself");
    const targetParent = this.#directories.findParentOf(target);
    if (targetParent !== null) {
      try {
        linkAt(targetParent.fd, baseName(target), dirfd, name);
        return;
      } catch (error) {
        if (isErrno(error, "EPERM")) throw badPath(path, "a hard link to a directory");
        if (!isErrno(error, "ENOENT")) throw error;
      }
    }
    this.#unsettled.add("link", path, target);
  }

  #finishDirectory(directory: UnfinishedDirectory): void {
    const { parent, name, path } = directory;
    if (directory.metadata !== null) {
      restoreDirectory(parent.fd, name, directory, this.#skipped, this.#form);
      return;
    }
    const state = this.#directories.stateOf(directory);
    if (state === "listed") return; // after something in it
    restoreDirectory(parent.fd, name, { path, metadata: IMPLICIT, isAgain: false }, this.#skipped, this.#form);
    if (state === "implicit" && !this.#directories.isHidden(parent.path)) this.#unsettled.add("directory", path);
  }

  #finishRoot(): void {
    const metadata = this.#rootMetadata;
    if (metadata !== null) {
      restoreDirectory(this.#rootFd, ".", { path: ROOT, metadata, isAgain: false }, this.#skipped, this.#form);
      return;
    }
    restoreDirectory(this.#rootFd, ".", { path: ROOT, metadata: IMPLICIT, isAgain: false }, this.#skipped, this.#form);
    this.#unsettled.add("directory", ROOT);
  }
}

function makeNode(entry: TarEntry, path: LayerPath, dirfd: number, name: string, { override }: LayerForm): void {
  if (entry.type === "character" && entry.deviceMajor === 0 && entry.deviceMinor === 0) {
    throw badPath(path, "it is a 0:0 character device, which overlayfs would take for a whiteout");
  }
  const mode = typeOfNode(entry) | entry.mode;
  mknodAt(dirfd, name, override === null ? mode : backingMode(mode), entry.deviceMajor, entry.deviceMinor);
}

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
