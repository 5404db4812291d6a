/**
 * Makes the entries of a tar in a directory that may be hostile: every name by the open directory it is in, without following
 * a link. What is there is replaced as docker does it: a directory only by a directory, and then what it holds stays.
 */

import { ConflictError, isErrno } from "../../src/errors.ts";
import { baseName, display, type LayerPath, parentPath, parseLayerPath } from "../../src/paths.ts";
import {
  chmod,
  chown,
  close,
  linkAt,
  mkdirAt,
  mknodAt,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openAt,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  setTimes,
  symlinkAt,
  truncate,
  unlinkAt,
  writeAllAt,
} from "../../src/sys/file.ts";
import { statAtOrNull } from "../../src/sys/stat.ts";
import { setXattr } from "../../src/sys/xattr.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { TarHandler } from "../tar/reader.ts";

export interface SinkOptions {
  /** Owners and attributes are kept, and set-id bits; else what is made belongs to `owner` and has no attributes. */
  readonly keepsAll: boolean;
  readonly keepsSetIds: boolean;
  readonly owner: { readonly uid: number; readonly gid: number };
}

const SETID_BITS = 0o6000;
/** Until it is whole. */
const [NEW_FILE_MODE, NEW_DIRECTORY_MODE] = [0o600, 0o700];

export class DirectorySink implements TarHandler, Disposable {
  readonly #base: number;
  readonly #options: SinkOptions;
  /** Made, and not whole before all that is in them is. */
  readonly #directories: TarEntry[] = [];
  /** The directory of the last entry, which most often is that of the next. */
  #open: { readonly path: LayerPath; readonly fd: number } | null = null;
  #file: { readonly fd: number; readonly entry: TarEntry } | null = null;
  /** How many entries there were, and bytes in their files. */
  entries = 0;
  bytes = 0;

  /** `base` stays the caller's. */
  constructor(base: number, options: SinkOptions) {
    this.#base = base;
    this.#options = options;
  }

  /**
   * @throws {IntegrityError} `ERR_PATH_UNSAFE`
   * @throws {ConflictError} `ERR_COPY_TYPE`
   * @throws PosixError `ELOOP`, `ENOTDIR` if a link is where a directory has to be
   */
  entry(entry: TarEntry): void {
    const path = parseLayerPath(entry.path);
    if (path === "") return; // the directory itself, which is there
    const parent = this.#parent(path);
    const name = baseName(path);
    this.entries += 1;
    if (!this.#makeRoom(parent, name, entry)) return;
    switch (entry.type) {
      case "directory":
        mkdirAt(parent, name, NEW_DIRECTORY_MODE);
        this.#directories.push({ ...entry, path });
        return;
      case "file": {
        const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        this.#file = { fd: openAt(parent, name, flags, NEW_FILE_MODE), entry };
        return;
      }
      case "hardlink": {
        const target = parseLayerPath(entry.linkTarget);
        const directory = this.#openDirectory(parentPath(target), false);
        try {
          linkAt(directory, baseName(target), parent, name);
        } finally {
          close(directory);
        }
        return;
      }
      case "symlink":
        symlinkAt(entry.linkTarget, parent, name);
        break;
      case "fifo":
        mknodAt(parent, name, S_IFIFO | NEW_FILE_MODE);
        break;
      case "character":
      case "block": {
        const type = entry.type === "block" ? S_IFBLK : S_IFCHR;
        mknodAt(parent, name, type | NEW_FILE_MODE, entry.deviceMajor, entry.deviceMinor);
      }
    }
    this.#restore(parent, name, entry);
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#file === null) return;
    writeAllAt(this.#file.fd, bytes, offset);
    this.bytes += bytes.length;
  }

  end(): void {
    if (this.#file === null) return;
    const { fd, entry } = this.#file;
    truncate(fd, entry.sizeBytes);
    this.#restoreOpen(fd, entry);
    this.#file = null;
    close(fd);
  }

  /** Gives the directories what they are to have: to be called when all is in them. @throws PosixError */
  finish(): void {
    for (const entry of this.#directories.toReversed()) {
      const fd = this.#openDirectory(entry.path as LayerPath, false);
      try {
        this.#restoreOpen(fd, entry);
      } finally {
        close(fd);
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#file !== null) close(this.#file.fd);
    if (this.#open !== null) close(this.#open.fd);
    this.#file = null;
    this.#open = null;
  }

  /** False for a directory that is there already. */
  #makeRoom(parent: number, name: string, entry: TarEntry): boolean {
    const stat = statAtOrNull(parent, name);
    if (stat === null) return true;
    const isDirectory = (stat.mode & S_IFMT) === S_IFDIR;
    if (isDirectory && entry.type === "directory") return false;
    if (isDirectory || entry.type === "directory") {
      const [what, there] = isDirectory ? ["a file", "a directory"] : ["a directory", "none"];
      const shown = display(entry.path);
      const message = `Cannot copy "${shown}": it is ${what}, and there it is ${there}`;
      throw new ConflictError("ERR_COPY_TYPE", message, { data: { path: shown } });
    }
    unlinkAt(parent, name);
    return true;
  }

  #parent(path: LayerPath): number {
    const wanted = parentPath(path);
    if (this.#open?.path === wanted) return this.#open.fd;
    if (this.#open !== null) close(this.#open.fd);
    this.#open = null;
    this.#open = { path: wanted, fd: this.#openDirectory(wanted, true) };
    return this.#open.fd;
  }

  /** Name by name, and none of them a link. */
  #openDirectory(path: LayerPath, makes: boolean): number {
    let fd = openAt(this.#base, ".", O_RDONLY | O_DIRECTORY);
    for (const name of path === "" ? [] : path.split("/")) {
      let next: number;
      try {
        next = this.#openChild(fd, name, makes);
      } finally {
        close(fd);
      }
      fd = next;
    }
    return fd;
  }

  #openChild(fd: number, name: string, makes: boolean): number {
    try {
      return openAt(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    } catch (error) {
      if (!makes || !isErrno(error, "ENOENT")) throw error;
      mkdirAt(fd, name, 0o755);
      return openAt(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    }
  }

  /** Owner before mode, and both before attributes: each takes away what it does not know. Times last. */
  #restoreOpen(fd: number, entry: TarEntry): void {
    const { uid, gid } = this.#ownerOf(entry);
    chown(fd, null, uid, gid);
    chmod(fd, null, this.#modeOf(entry));
    if (this.#options.keepsAll) for (const [name, value] of entry.xattrs) setXattr(fd, name, value);
    setTimes(fd, null, entry.mtimeNs, entry.mtimeNs);
  }

  /** Of what cannot be opened, but held: by its name it could be a link by now. */
  #restore(parent: number, name: string, entry: TarEntry): void {
    const { uid, gid } = this.#ownerOf(entry);
    const fd = openAt(parent, name, O_PATH | O_NOFOLLOW);
    try {
      chown(fd, null, uid, gid);
      if (entry.type !== "symlink") chmod(fd, null, this.#modeOf(entry));
    } finally {
      close(fd);
    }
    setTimes(parent, name, entry.mtimeNs, entry.mtimeNs);
  }

  #ownerOf(entry: TarEntry): SinkOptions["owner"] {
    return this.#options.keepsAll ? entry : this.#options.owner;
  }

  #modeOf({ mode }: TarEntry): number {
    return this.#options.keepsAll || this.#options.keepsSetIds ? mode : mode & ~SETID_BITS;
  }
}
