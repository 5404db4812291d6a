/**
 * The directories of the layer that is being unpacked. The layer's tree starts empty and nobody else writes to it, so the
 * tree itself is the table of what there is: only the directories opened lately are remembered here, and what is to be
 * restored of each at the end is kept in a file. So memory does not follow the number of entries.
 *
 * Directories are opened one name at a time and never through a symbolic link. Until the end a directory's mode says how
 * it came to be: listed by the tar, or implicit, made because something is in it. An implicit one gets its metadata from
 * the layers below, unless it is replaced: deleted there by this layer, and made again here.
 */

import { IntegrityError, isErrno } from "../../src/errors.ts";
import { opaquenessOf, setOpaque } from "../../src/overlay/opaque.ts";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { baseName, childPath, display, type LayerPath, NAME_MAX, parentPath, ROOT } from "../../src/paths.ts";
import * as file from "../../src/sys/file.ts";
import { statAt, statAtOrNull } from "../../src/sys/stat.ts";
import { xattrTargetAt } from "../../src/sys/xattr.ts";
import { type DirectoryMetadata, type DirectoryRecord, decodeDirectory, encodeDirectory } from "./directory-record.ts";
import { RecordWriter, readRecords } from "./record-file.ts";

/** An open directory of the layer. */
export interface LayerDirectory {
  /** Where it is, without symbolic links on the way. */
  readonly path: LayerPath;
  /** Valid until `trim`. */
  readonly fd: number;
}

/** A directory whose metadata is to be restored, by its name in an open one. */
export interface UnfinishedDirectory extends DirectoryRecord {
  readonly parent: LayerDirectory;
  readonly name: string;
}

/** Descriptors kept between two members. Tars are written depth first, so a few would do. */
const MAX_OPEN = 200;
/** As the kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;
/** What is remembered of directories that are asked about again and again. */
const MAX_REMEMBERED = 4096;
/** Of directories that are not finished. Nobody else may look in, and who unpacks changes nothing in a replaced one. */
const LISTED_MODE = 0o700;
const IMPLICIT_MODE = 0o1700;
const REPLACED_MODE = 0o1500;

/** See the head of this file. Disposing closes what is open. */
export class LayerDirectories implements Disposable {
  readonly #root: LayerDirectory;
  /** Opened first is first; the root is always there. */
  readonly #open: Map<LayerPath, LayerDirectory>;
  readonly #scratchFd: number;
  readonly #namespace: OverlayNamespace;
  readonly #records: RecordWriter;
  /** Answers of `isHidden`. */
  readonly #hidden = new Map<LayerPath, boolean>();
  #count = 1;
  #hasOpaque = false;
  #isRootOpaque = false;

  /** `rootFd` is an empty directory, `scratchFd` an empty file for reading and writing; the caller closes both. */
  constructor(rootFd: number, scratchFd: number, namespace: OverlayNamespace = "trusted") {
    this.#namespace = namespace;
    this.#root = { path: ROOT, fd: rootFd };
    this.#open = new Map([[ROOT, this.#root]]);
    this.#scratchFd = scratchFd;
    this.#records = new RecordWriter(() => scratchFd);
  }

  [Symbol.dispose](): void {
    for (const directory of this.#open.values()) this.#close(directory);
    this.#open.clear();
  }

  /** How many there are, with the root. */
  get count(): number {
    return this.#count;
  }

  /** True if the layer hides everything below. */
  get isRootOpaque(): boolean {
    return this.#isRootOpaque;
  }

  /** Closes descriptors that were not opened lately. Call it between two members: those in use stay valid till then. */
  trim(): void {
    if (this.#open.size <= MAX_OPEN) return;
    for (const directory of this.#open.values()) {
      if (directory === this.#root) continue;
      if (this.#open.size <= MAX_OPEN / 2) return;
      this.#close(directory);
      this.#open.delete(directory.path);
    }
  }

  /**
   * The directory in which the member at `path` belongs, made (implicit) if it is not there. Symbolic links of this
   * layer on the way are followed inside its root.
   * @throws {IntegrityError} `ERR_LAYER_PATH` if the way leads through a file, out of the root, or in circles
   */
  parentOf(path: LayerPath): LayerDirectory {
    const parent = parentPath(path);
    const known = this.#open.get(parent);
    if (known !== undefined) return known;
    const found = this.#walk(parent, path, (directory, name, notDirectory) => {
      if (notDirectory) throw badPath(path, `"${display(childPath(directory.path, name))}" is not a directory`);
      return this.#makeImplicit(directory, name);
    });
    return found ?? this.#root;
  }

  /** The directory of this layer in which `path` is, resolved likewise; null if the layer has none. */
  findParentOf(path: LayerPath): LayerDirectory | null {
    const parent = parentPath(path);
    return this.#open.get(parent) ?? this.#walk(parent, path, () => null);
  }

  /**
   * Makes the directory at `name` in `parent`; over a directory it replaces the metadata of that.
   * @throws {IntegrityError} `ERR_LAYER_DUPLICATE` if the layer has something else of that name
   */
  add(parent: LayerDirectory, name: string, metadata: DirectoryMetadata): void {
    const path = childPath(parent.path, name);
    const isAgain = !this.#make(parent, name, LISTED_MODE);
    if (isAgain) {
      if ((statAt(parent.fd, name).mode & file.S_IFMT) !== file.S_IFDIR) throw duplicate(path);
      file.chmod(parent.fd, name, LISTED_MODE); // it may have been implicit
    }
    this.#records.add(encodeDirectory({ path, metadata, isAgain }));
  }

  /** `directory` hides what the layers below have in it. */
  makeOpaque(directory: LayerDirectory): void {
    if (directory.path === ROOT) this.#isRootOpaque = true;
    else setOpaque(directory.fd, this.#namespace);
    this.#hasOpaque = true;
    this.#hidden.clear();
  }

  /** What the layers below have at `path` is deleted: a directory of this layer there is another one, and opaque. */
  replace(path: LayerPath): void {
    const { fd } = this.parentOf(path);
    const name = baseName(path);
    const stat = statAtOrNull(fd, name);
    if (stat === null || (stat.mode & file.S_IFMT) !== file.S_IFDIR) return;
    setOpaque(xattrTargetAt(fd, name), this.#namespace);
    this.#hasOpaque = true;
    if ((stat.mode & 0o7777) === IMPLICIT_MODE) file.chmod(fd, name, REPLACED_MODE);
  }

  /** True if nothing of the layers below shows in the directory at `path`, once all is there. */
  isHidden(path: LayerPath): boolean {
    if (!this.#hasOpaque || this.#isRootOpaque || path === ROOT) return this.#isRootOpaque;
    const known = this.#hidden.get(path);
    if (known !== undefined) return known;
    const parent = parentPath(path);
    const isHidden =
      this.isHidden(parent) ||
      opaquenessOf(xattrTargetAt(this.parentOf(path).fd, baseName(path)), this.#namespace) === "opaque";
    if (this.#hidden.size >= MAX_REMEMBERED) this.#hidden.clear();
    this.#hidden.set(path, isHidden);
    this.trim();
    return isHidden;
  }

  /** Every directory but the root as often as it was listed, parents before children. Each is valid until the next. */
  *unfinished(): Generator<UnfinishedDirectory, void, void> {
    this.#records.flush();
    for (const bytes of readRecords(this.#scratchFd)) {
      const record = decodeDirectory(bytes);
      this.trim();
      yield { ...record, parent: this.parentOf(record.path), name: baseName(record.path) };
    }
  }

  /** What has become of a directory that was made as an implicit one, before it is finished. */
  stateOf({ parent, name }: UnfinishedDirectory): "implicit" | "replaced" | "listed" {
    const mode = statAt(parent.fd, name).mode & 0o7777;
    return mode === IMPLICIT_MODE ? "implicit" : mode === REPLACED_MODE ? "replaced" : "listed";
  }

  /**
   * The directory at `wanted`, which is there or made by `missing`: called for a name that the layer does not have, or
   * not as a directory. Only the last is kept open, for whatever is on the way is mostly asked for but once.
   */
  #walk(
    wanted: LayerPath,
    member: LayerPath,
    missing: (parent: LayerDirectory, name: string, notDirectory: boolean) => LayerDirectory | null,
  ): LayerDirectory | null {
    let start = wanted;
    while (!this.#open.has(start)) start = parentPath(start); // names of symbolic links are never among the open ones
    let at = this.#open.get(start) ?? this.#root;
    let symlinks = 0;
    const names = wanted.slice(start === ROOT ? 0 : start.length + 1).split("/"); // the next one is last
    names.reverse();
    const move = (to: LayerDirectory): void => {
      this.#closeUnlessKept(at);
      at = to;
    };
    try {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        if (name === "" || name === ".") continue;
        if (name === "..") {
          if (at.path === ROOT) throw badPath(member, "a symbolic link on the way leads out of the root");
          move(this.#above(at));
          continue;
        }
        const next = this.#enter(at, name, member);
        if (typeof next !== "string") {
          const entered = next ?? missing(at, name, false);
          if (entered === null) return null;
          move(entered);
          continue;
        }
        if (next === NOT_A_DIRECTORY) return missing(at, name, true);
        symlinks += 1;
        const path = childPath(at.path, name);
        if (symlinks > MAX_SYMLINKS) {
          throw badPath(member, `"${display(path)}" is a symbolic link that leads in circles`);
        }
        if (next.startsWith("/")) move(this.#root);
        names.push(...next.split("/").reverse());
      }
      this.#open.set(at.path, at);
      return at;
    } finally {
      this.#closeUnlessKept(at);
    }
  }

  /** The directory at `name` in `at`, null if there is nothing, or where a symbolic link there leads. */
  #enter(at: LayerDirectory, name: string, member: LayerPath): LayerDirectory | string | null {
    const path = childPath(at.path, name);
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    if (name.length > NAME_MAX) throw badPath(member, "a symbolic link on the way has too long a name in it");
    const stat = statAtOrNull(at.fd, name);
    switch (stat === null ? 0 : stat.mode & file.S_IFMT) {
      case 0:
        return null;
      case file.S_IFDIR:
        return { path, fd: openDirectory(at.fd, name) };
      case file.S_IFLNK:
        return file.readlinkAt(at.fd, name);
      default:
        return NOT_A_DIRECTORY;
    }
  }

  #above(at: LayerDirectory): LayerDirectory {
    const path = parentPath(at.path);
    return this.#open.get(path) ?? { path, fd: openDirectory(at.fd, "..") };
  }

  #makeImplicit(parent: LayerDirectory, name: string): LayerDirectory {
    const path = childPath(parent.path, name);
    this.#make(parent, name, IMPLICIT_MODE);
    this.#records.add(encodeDirectory({ path, metadata: null, isAgain: false }));
    return { path, fd: openDirectory(parent.fd, name) };
  }

  /** False if there is something of that name. */
  #make({ fd }: LayerDirectory, name: string, mode: number): boolean {
    try {
      file.mkdirAt(fd, name, mode);
    } catch (error) {
      if (isErrno(error, "EEXIST")) return false;
      throw error;
    }
    this.#count += 1;
    return true;
  }

  #closeUnlessKept(directory: LayerDirectory): void {
    if (this.#open.get(directory.path) !== directory) this.#close(directory);
  }

  #close(directory: LayerDirectory): void {
    if (directory !== this.#root) file.close(directory.fd);
  }
}

/** No symbolic link leads there. */
const NOT_A_DIRECTORY = "";

function openDirectory(dirfd: number, name: string): number {
  return file.openAt(dirfd, name, file.O_RDONLY | file.O_DIRECTORY | file.O_NOFOLLOW);
}

/** The error for a second member of one path. */
export function duplicate(path: LayerPath): IntegrityError {
  const shown = display(path);
  return new IntegrityError(
    "ERR_LAYER_DUPLICATE",
    `Cannot unpack "${shown}": the layer has another entry of that path, and they contradict each other`,
    { data: { path: shown } },
  );
}

/** The error for a member whose path cannot be used. */
export function badPath(member: LayerPath, why: string): IntegrityError {
  const path = display(member);
  return new IntegrityError("ERR_LAYER_PATH", `Cannot unpack "${path}": ${why}`, { data: { path } });
}
