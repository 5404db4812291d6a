/** A store: the directory that holds images, layers and snapshots, and the database that says what is in it. */

import { chmodSync, existsSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { isErrno, NotFoundError, UnsupportedError } from "../src/errors.ts";
import { type Logger, silentLogger } from "../src/log.ts";
import { type Database, openDatabase } from "../src/meta/database.ts";
import { bytesOf, display, type HostPath, hostPath, hostPathOfBytes } from "../src/paths.ts";
import { tellsFileTypes } from "../src/sys/directory.ts";
import { syncDirectory } from "../src/sys/sync.ts";
import { getXattr, setXattr } from "../src/sys/xattr.ts";
import { BlobStore } from "./content/blob-store.ts";
import { type StoreLayout, storeLayout } from "./layout.ts";
import { makeReserve, releaseReserve } from "./reserve.ts";

export interface StoreOptions {
  readonly logger?: Logger;
  /** Make the store if there is none; true unless said otherwise. */
  readonly create?: boolean;
}

/** An open store. Disposing it twice is safe; what others hold of it (locks, temporaries) is theirs to dispose. */
export class Store implements Disposable {
  readonly layout: StoreLayout;
  readonly db: Database;
  readonly blobs: BlobStore;
  readonly logger: Logger;
  #usesReserve: boolean;

  private constructor(layout: StoreLayout, { db, usesReserve }: OpenedDatabase, logger: Logger) {
    this.layout = layout;
    this.db = db;
    this.blobs = new BlobStore(layout, db);
    this.logger = logger;
    this.#usesReserve = usesReserve;
  }

  /** True if there is a store at `root`. @throws a system error if this user may not look */
  static isThere(root: HostPath): boolean {
    return isThere(storeLayout(root).database);
  }

  /**
   * Opens the store at `root`, made first (mode 0700) if `create` is not false. Opening one that is up to date costs one
   * look at the file system and one read of the database. On a full disk the reserve makes room for it.
   * @throws {UnsupportedError} `ERR_NO_PROC`; `ERR_NO_FILE_TYPES` if one is to be made on a file system that overlayfs cannot use
   * @throws {NotFoundError} `ERR_STORE_NOT_FOUND` if there is none and `create` is false
   * @throws a system error if this user may not look; what `openDatabase` throws
   */
  static open(root: HostPath, options: StoreOptions = {}): Store {
    if (!existsSync("/proc/self/fd")) throw noProc();
    const given = storeLayout(hostPath(resolve(bytesOf(root).toString())));
    if (!isThere(given.database)) {
      if (options.create === false) throw noStore(given.root);
      makeDirectories(given);
    }
    // Without symbolic links, because paths of the store are looked for in the kernel's mount table.
    const layout = storeLayout(hostPathOfBytes(realpathSync(bytesOf(given.root), "buffer")));
    const opened = openWithReserve(given.database, layout);
    if (options.create !== false && !opened.usesReserve) makeReserve(layout); // who adds may fill the disk
    return new Store(layout, opened, options.logger ?? silentLogger);
  }

  /** Gives up the reserve until the store is closed: for work that frees space, and takes a little first. */
  useReserve(): void {
    if (this.#usesReserve) return;
    releaseReserve(this.layout);
    this.#usesReserve = true;
  }

  [Symbol.dispose](): void {
    this.db[Symbol.dispose]();
    if (this.#usesReserve) makeReserve(this.layout);
    this.#usesReserve = false;
  }
}

interface OpenedDatabase {
  readonly db: Database;
  readonly usesReserve: boolean;
}

function openWithReserve(path: HostPath, layout: StoreLayout): OpenedDatabase {
  try {
    return { db: openDatabase(path), usesReserve: false };
  } catch (error) {
    if (!isErrno(error, "ENOSPC", "EDQUOT") || !releaseReserve(layout)) throw error;
  }
  try {
    return { db: openDatabase(path), usesReserve: true };
  } catch (error) {
    makeReserve(layout);
    throw error;
  }
}

/** @throws Node's system error if this user may not look, or what should be a directory is none */
function isThere(path: HostPath): boolean {
  try {
    statSync(bytesOf(path));
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

const DEFAULT_ACL = "system.posix_acl_default";
/** Version 2 without entries: the kernel takes it as "remove" (fs/posix_acl.c). */
const EMPTY_ACL = Buffer.from([2, 0, 0, 0]);

/** All before the database is there, so that who sees the database sees the directories. */
function makeDirectories(layout: StoreLayout): void {
  const { root, blobs, layers, snapshots, held, temporary, locks, empty } = layout;
  makeDirectory(root);
  makeDirectory(blobs);
  if (!tellsFileTypes(root)) throw noFileTypes(root);
  for (const path of [blobs, layers, snapshots, held, temporary, locks, empty]) {
    makeDirectory(path);
    forgetParent(path);
  }
  for (const path of [root, blobs]) syncDirectory(path);
}

/** overlayfs mounts there, but lists whiteouts as if they were files. */
function noFileTypes(root: HostPath): UnsupportedError {
  const path = display(root);
  const message =
    `Cannot make a store at "${path}": its file system does not tell types in listings (d_type), which overlayfs needs; ` +
    "put the store on ext4, xfs or btrfs";
  return new UnsupportedError("ERR_NO_FILE_TYPES", message, { data: { path } });
}

/**
 * Undoes what a directory takes from the one it is made in: a setgid bit and a default ACL would go on to every file of
 * every layer.
 */
function forgetParent(path: HostPath): void {
  chmodSync(bytesOf(path), 0o700);
  if (getXattr(path, DEFAULT_ACL) !== null) setXattr(path, DEFAULT_ACL, EMPTY_ACL);
}

/** With its parents. node's `recursive` never ends where a directory takes no others (/proc). */
function makeDirectory(path: HostPath): void {
  try {
    mkdirSync(bytesOf(path), { mode: 0o700 });
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    const parent = path.slice(0, path.lastIndexOf("/")) as HostPath;
    if (!isErrno(error, "ENOENT") || existsSync(bytesOf(parent))) throw error;
    makeDirectory(parent);
    makeDirectory(path);
  }
}

/** Mounts, deep directories and names that are not UTF-8 are reached through it. */
function noProc(): UnsupportedError {
  const state = "/proc is not mounted; mount it first (mount -t proc proc /proc)";
  return new UnsupportedError("ERR_NO_PROC", `Cannot work here: ${state}`);
}

function noStore(root: HostPath): NotFoundError {
  const path = display(root);
  return new NotFoundError("ERR_STORE_NOT_FOUND", `Cannot open store "${path}": there is none`, {
    data: { path },
  });
}
