/** The directory of one check in the tree under test. Names are byte strings below it; what it opens is closed for it. */

import {
  closeSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { isErrno } from "../../src/errors.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import {
  AT_FDCWD,
  chmod,
  chown,
  linkAt,
  O_RDONLY,
  openAt,
  readlinkAt,
  renameAt,
  symlinkAt,
  unlinkAt,
  writeAll,
} from "../../src/sys/file.ts";
import { type Stat, statAt, statAtOrNull } from "../../src/sys/stat.ts";
import { listTree } from "../helpers/tree.ts";
import { getdents, type RawEntry } from "./calls.ts";

export class Place implements Disposable {
  readonly root: HostPath;
  /** The same tree in a plain directory outside the mount, to do the same things to. */
  readonly twin: HostPath;
  readonly #open = new Set<number>();

  constructor(root: HostPath, twin: HostPath) {
    this.root = root;
    this.twin = twin;
  }

  path(name = ""): HostPath {
    return joinHost(this.root, name);
  }

  /** openat(2); the descriptor is closed at the end of the check, if not before. */
  open(name: string, flags = O_RDONLY, mode = 0): number {
    const fd = openAt(AT_FDCWD, this.path(name), flags, mode);
    this.#open.add(fd);
    return fd;
  }

  close(fd: number): void {
    this.#open.delete(fd);
    closeSync(fd);
  }

  read(name: string): string {
    return readFileSync(bytesOf(this.path(name)), "latin1");
  }

  /** Makes the file or replaces what it holds. */
  write(name: string, content: string): void {
    writeFileSync(bytesOf(this.path(name)), bytesOf(content));
  }

  append(name: string, content: string): void {
    writeFileSync(bytesOf(this.path(name)), bytesOf(content), { flag: "a" });
  }

  mkdir(name: string, mode = 0o777): void {
    mkdirSync(bytesOf(this.path(name)), mode);
  }

  rmdir(name: string): void {
    rmdirSync(bytesOf(this.path(name)));
  }

  unlink(name: string): void {
    unlinkAt(AT_FDCWD, this.path(name));
  }

  rename(from: string, to: string, flags = 0): void {
    renameAt(AT_FDCWD, this.path(from), AT_FDCWD, this.path(to), flags);
  }

  link(from: string, to: string): void {
    linkAt(AT_FDCWD, this.path(from), AT_FDCWD, this.path(to));
  }

  symlink(target: string, name: string): void {
    symlinkAt(target, AT_FDCWD, this.path(name));
  }

  readlink(name: string): string {
    return readlinkAt(AT_FDCWD, this.path(name));
  }

  chmod(name: string, mode: number): void {
    chmod(AT_FDCWD, this.path(name), mode);
  }

  chown(name: string, uid: number, gid: number): void {
    chown(AT_FDCWD, this.path(name), uid, gid);
  }

  truncate(name: string, sizeBytes: number): void {
    truncateSync(bytesOf(this.path(name)), sizeBytes);
  }

  stat(name = ""): Stat {
    return statAt(AT_FDCWD, this.path(name));
  }

  exists(name: string): boolean {
    return statAtOrNull(AT_FDCWD, this.path(name)) !== null;
  }

  /** Permission, setuid, setgid and sticky bits, in octal. */
  mode(name: string): string {
    return (this.stat(name).mode & 0o7777).toString(8);
  }

  owner(name: string): string {
    const { uid, gid } = this.stat(name);
    return `${uid}:${gid}`;
  }

  /** The names in a directory, sorted, without "." and "..". */
  names(name = ""): string {
    return readdirSync(bytesOf(this.path(name)), { encoding: "latin1" })
      .sort()
      .join(" ");
  }

  /** One listing of a directory, with "." and "..". */
  entries(name = ""): readonly RawEntry[] {
    const fd = openAt(AT_FDCWD, this.path(name), O_RDONLY);
    try {
      const all: RawEntry[] = [];
      for (let some = getdents(fd); some.length > 0; some = getdents(fd)) all.push(...some);
      return all;
    } finally {
      closeSync(fd);
    }
  }

  /** Everything below, in the house notation. */
  tree(name = ""): string {
    return listTree(this.path(name));
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open) {
      try {
        closeSync(fd);
      } catch (error) {
        if (!isErrno(error, "EBADF")) throw error; // the check has closed it by other means
      }
    }
  }
}

/** Reads what an open file holds from `position` on, or where it stands. */
export function readFrom(fd: number, position: number | null, sizeBytes = 65536): string {
  const bytes = Buffer.alloc(sizeBytes);
  return bytes.toString("latin1", 0, readSync(fd, bytes, 0, sizeBytes, position));
}

/** write(2) of text at the file position. */
export function writeTo(fd: number, text: string): void {
  writeAll(fd, bytesOf(text));
}

/** stat(2) and lstat(2) of Node.js, for what is followed and what is not. */
export function kindOf(path: HostPath, follow: boolean): string {
  const stat = (follow ? statSync : lstatSync)(bytesOf(path));
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  return stat.isSymbolicLink() ? "symlink" : "other";
}
