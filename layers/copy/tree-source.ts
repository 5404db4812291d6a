/**
 * Reads a file or a whole directory as the entries of a tar. Every name is opened without following a link and by the directory
 * it is in, and what was opened is what is read: whoever changes the tree meanwhile leads nobody out of it.
 */

import { readSync } from "node:fs";
import { isErrno } from "../../src/errors.ts";
import { hostPath } from "../../src/paths.ts";
import { dataExtents } from "../../src/sys/copy.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, openAt, readlinkAt } from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { getXattr, listXattrs } from "../../src/sys/xattr.ts";
import { type EntryType, type Extent, entryTypeOf, NO_XATTRS, type TarEntry } from "../tar/entry.ts";
import type { TarHandler } from "../tar/reader.ts";
import type { Place } from "./place.ts";

const PIECE_BYTES = 1 << 20;

export interface SourceOptions {
  /** The name of what is copied; "" for what is in a directory, without it. */
  readonly as: string;
  /** Called for what no tar has a type for. */
  readonly onSkipped: (path: string, reason: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Hands what is at `place`, and all that is in it, to `handler`, a directory before what is in it.
 * @throws PosixError, what `handler` throws, and what `signal` was aborted with
 */
export async function readTree(place: Place, handler: TarHandler, options: SourceOptions): Promise<void> {
  const reader = new Reader(handler, options);
  const fd = openAt(place.parent, place.name, O_PATH | O_NOFOLLOW);
  try {
    await reader.read(fd, options.as);
  } finally {
    close(fd);
  }
}

class Reader {
  readonly #handler: TarHandler;
  readonly #options: SourceOptions;
  readonly #buffer = Buffer.allocUnsafe(PIECE_BYTES);
  /** Where a file with several names was seen first. */
  readonly #links = new Map<string, string>();

  constructor(handler: TarHandler, options: SourceOptions) {
    this.#handler = handler;
    this.#options = options;
  }

  /** `fd` is open with `O_PATH`. */
  async read(fd: number, path: string): Promise<void> {
    this.#options.signal.throwIfAborted();
    const stat = statAt(fd, null);
    const type = entryTypeOf(stat.mode);
    if (type === null) return this.#options.onSkipped(path, "socket");
    if (type === "directory") return await this.#directory(fd, path, stat);
    const first = this.#firstName(stat, path);
    if (first !== null) this.#whole({ ...entryOf(path, stat, "hardlink"), linkTarget: first });
    else if (type === "file") this.#file(fd, path, stat);
    else this.#whole({ ...entryOf(path, stat, type), linkTarget: type === "symlink" ? readlinkAt(fd, "") : "" });
    if (stat.sizeBytes > PIECE_BYTES) await new Promise(setImmediate); // for signals
  }

  async #directory(place: number, path: string, stat: Stat): Promise<void> {
    const fd = openAt(place, ".", O_RDONLY | O_DIRECTORY);
    try {
      if (path !== "") this.#whole(entryOf(path, stat, "directory", xattrsOf(fd)));
      await this.#children(fd, path);
    } finally {
      close(fd);
    }
  }

  async #children(fd: number, path: string): Promise<void> {
    for (const { name } of listDirectory(hostPath(`/proc/self/fd/${fd}`))) {
      const child = openOrNull(fd, name);
      if (child === null) continue; // it has gone
      try {
        await this.read(child, path === "" ? name : `${path}/${name}`);
      } finally {
        close(child);
      }
    }
  }

  #firstName(stat: Stat, path: string): string | null {
    if (stat.nlink < 2) return null;
    const key = `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
    const first = this.#links.get(key) ?? null;
    if (first === null) this.#links.set(key, path);
    return first;
  }

  #whole(entry: TarEntry): void {
    this.#handler.entry(entry);
    this.#handler.end();
  }

  #file(place: number, path: string, stat: Stat): void {
    const fd = openAt(AT_FDCWD, `/proc/self/fd/${place}`, O_RDONLY);
    try {
      const { sizeBytes } = stat;
      const extents: readonly Extent[] = dataExtents(fd, sizeBytes).map(([start, end]) => ({
        offset: start,
        lengthBytes: end - start,
      }));
      const isSparse = extents.reduce((total, { lengthBytes }) => total + lengthBytes, 0) < sizeBytes;
      this.#handler.entry({
        ...entryOf(path, stat, "file", xattrsOf(fd)),
        sizeBytes,
        extents: isSparse ? extents : null,
      });
      for (const { offset, lengthBytes } of extents) this.#data(fd, offset, lengthBytes);
      this.#handler.end();
    } finally {
      close(fd);
    }
  }

  /** What has become shorter meanwhile ends in zeros. */
  #data(fd: number, offset: number, lengthBytes: number): void {
    for (let done = 0; done < lengthBytes; ) {
      const wanted = Math.min(PIECE_BYTES, lengthBytes - done);
      const size = readSync(fd, this.#buffer, 0, wanted, offset + done);
      if (size === 0) this.#buffer.fill(0, 0, wanted);
      this.#handler.data(this.#buffer.subarray(0, size || wanted), offset + done);
      done += size || wanted;
    }
  }
}

function openOrNull(parent: number, name: string): number | null {
  try {
    return openAt(parent, name, O_PATH | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}

function entryOf(path: string, stat: Stat, type: EntryType, xattrs = NO_XATTRS): TarEntry {
  const isDevice = type === "character" || type === "block";
  return {
    ...{ path, type, linkTarget: "", sizeBytes: 0, extents: null, xattrs },
    mode: stat.mode & 0o7777,
    ...{ uid: stat.uid, gid: stat.gid, mtimeNs: stat.mtimeNs },
    deviceMajor: isDevice ? stat.rdevMajor : 0,
    deviceMinor: isDevice ? stat.rdevMinor : 0,
  };
}

/** What overlayfs and security modules keep there means nothing elsewhere. */
const NOT_COPIED = /^(?:(?:trusted|user)\.overlay\.|security\.(?!capability$))/;

/** Of a file or directory that is open for reading; what else there is has none that matter. */
function xattrsOf(fd: number): ReadonlyMap<string, Uint8Array> {
  const names = listXattrs(fd).filter((name) => !NOT_COPIED.test(name));
  return names.length === 0 ? NO_XATTRS : new Map(names.map((name) => [name, getXattr(fd, name) ?? Buffer.alloc(0)]));
}
