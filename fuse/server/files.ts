/**
 * Open files. All opens of a file share one way of reading and writing: through the kernel's page cache and this server,
 * or past both, by the backing file itself (passthrough); the kernel refuses to mix them. What is in a lower layer always
 * goes through the cache: it may be copied up while it is open, and then the cache just goes on with the copy. So does a
 * small file that is only read, which costs nothing once it is cached.
 */

import { O_ACCMODE, O_RDONLY, O_TRUNC, S_IFREG, truncate } from "../../src/sys/file.ts";
import { closeBacking, openBacking } from "../../src/sys/fuse-device.ts";
import { setTimesPartly, type TimeChange } from "../../src/sys/times.ts";
import { FOPEN } from "../protocol/constants.ts";
import type { Reply } from "../protocol/reply.ts";
import { contentFd, isWhole, letGo, makeWhole } from "../union/content.ts";
import { copyUpOpen } from "../union/copy-up.ts";
import type { Node } from "../union/node.ts";
import { CAPABILITY } from "../union/ownership.ts";
import type { Union } from "../union/union.ts";
import { keptAttribute } from "../union/xattrs.ts";
import type { Counters } from "./counters.ts";
import { Preloader } from "./preload.ts";

/** Up to this size a file that is opened for reading is served through the cache. */
const SMALL_BYTES = 256 << 10;

/** A write takes these bits away, and file capabilities: the kernel tells of that where it does not write by itself. */
const SUID_SGID = 0o6000;

interface Opened {
  readonly flags: number;
  readonly backingId: number;
}

export class Files {
  readonly #union: Union;
  readonly #device: number | null;
  readonly #counters: Counters;
  readonly #preloader: Preloader | null;
  /** The kernel was told, and this process may. */
  hasPassthrough = false;
  /** The page cache writes when it likes. */
  hasWriteback = false;
  /**
   * The kernel opens and closes files without a word: in a read-only mount nothing depends on it but passthrough, and where
   * that is not to be had the page cache does it all.
   */
  isOpenless = false;

  /** `device` is null where another talks to the kernel: then it gets nothing but what it asks for. */
  constructor(union: Union, device: number | null, counters: Counters) {
    this.#union = union;
    this.#device = device;
    this.#counters = counters;
    this.#preloader = device === null ? null : new Preloader(device);
    union.nodes.onDrop = (node) => this.#closeBacking(node);
  }

  /** Opens a regular file with the flags of open(2). @throws PosixError */
  open(node: Node, flags: number): Opened {
    const isReading = (flags & O_ACCMODE) === O_RDONLY;
    const isTruncating = (flags & O_TRUNC) !== 0;
    if (!isReading || isTruncating) copyUpOpen(this.#union, node, isTruncating ? "nothing" : "all");
    if (!isReading) makeWhole(this.#union, node);
    if (isTruncating) truncate(contentFd(this.#union, node, true), 0);
    if (node.opens === 0) {
      node.ioMode = this.#chooseMode(node, isReading);
      if (isReading && node.ioMode === "cached") this.#preload(node);
    }
    return this.#opened(node, flags);
  }

  /** The same for one that was made just now. */
  openNew(node: Node, flags: number): Opened {
    node.ioMode = this.hasPassthrough ? this.#tryPassthrough(node) : "cached";
    return this.#opened(node, flags);
  }

  /**
   * For files of lower layers, whose time of access stays as it is: of others it changes with a read, and the kernel is
   * to ask for it.
   */
  #preload(node: Node): void {
    if (this.#preloader === null || node.upper || node.preload !== "untried") return;
    node.preload = this.#preloader.store(node.id, contentFd(this.#union, node, false));
    if (node.preload === "done") letGo(node); // it will hardly be read from here
  }

  /** Content was asked for, of a file that may be open without our knowing. */
  wasUsed(node: Node): void {
    if (this.isOpenless) letGo(node);
  }

  /** The kernel asks for content that it was given, or not: it may be given it again. */
  wasRead(node: Node): void {
    if (node.preload === "done") node.preload = "untried";
  }

  #opened(node: Node, flags: number): Opened {
    node.opens += 1;
    if ((flags & O_ACCMODE) !== O_RDONLY) node.writers += 1;
    const isPassthrough = node.ioMode === "passthrough";
    this.#counters.addOpen(isPassthrough);
    if (isPassthrough) {
      node.isCacheStale = true;
      return { flags: FOPEN.passthrough, backingId: node.backingId };
    }
    const keep = node.isCacheStale ? 0 : FOPEN.keepCache;
    node.isCacheStale = false;
    return { flags: keep | FOPEN.noflush, backingId: 0 };
  }

  #chooseMode(node: Node, isReading: boolean): "cached" | "passthrough" {
    if (!this.hasPassthrough) return "cached";
    if (!node.upper && !this.#union.options.readOnly) return "cached";
    if (node.upper && !isWhole(this.#union, node)) return "cached"; // it may be made so while it is open
    const { mode, sizeBytes } = this.#union.statOf(node);
    if (isReading ? sizeBytes <= SMALL_BYTES : (mode & SUID_SGID) !== 0 || this.#hasCapabilities(node)) return "cached";
    return this.#tryPassthrough(node);
  }

  #hasCapabilities(node: Node): boolean {
    return keptAttribute(this.#union, node, CAPABILITY) !== null;
  }

  #tryPassthrough(node: Node): "cached" | "passthrough" {
    if (this.#device === null) return "cached";
    if (node.backingId === 0) node.backingId = openBacking(this.#device, contentFd(this.#union, node, false));
    return node.backingId === 0 ? "cached" : "passthrough";
  }

  /** The kernel closed it once, that was opened with `flags`. */
  release(node: Node, flags: number): void {
    node.opens = Math.max(0, node.opens - 1);
    if ((flags & O_ACCMODE) !== O_RDONLY) {
      node.writers = Math.max(0, node.writers - 1);
      // What was written through a mapping past the cache the kernel has not seen: it would go on to show the old time.
      if (node.ioMode === "passthrough") this.#union.onSideEffect(node);
      if (node.writers === 0) this.#settleTime(node);
    }
    if (node.opens > 0) return;
    this.#closeBacking(node);
    node.ioMode = "closed";
    letGo(node);
  }

  /** The page cache says when a file was modified. */
  toldTime(node: Node, time: TimeChange): void {
    if (!this.hasWriteback || node.writers === 0) return;
    node.toldTime = time === "now" ? null : time;
    node.isWrittenSince = false;
  }

  /**
   * The page cache is about to write to a file, which then has the time of that: after a crash nobody is to find new content
   * with an old time. What the page cache tells comes after it, or before where it writes in the background, or not at all
   * where its clock has not moved since.
   */
  writesBack(node: Node): void {
    if (!this.hasWriteback || node.writers === 0) return;
    node.isWrittenSince = true;
    if (node.toldTime !== null) return;
    const { mtimeSeconds, mtimeRest } = this.#union.statOf(node);
    node.toldTime = { seconds: mtimeSeconds, rest: mtimeRest };
  }

  /** All has been written, and told (fuse_release() in the kernel). */
  #settleTime(node: Node): void {
    if (node.isWrittenSince && node.toldTime !== null) {
      setTimesPartly(contentFd(this.#union, node, true), null, "keep", node.toldTime);
    }
    node.isWrittenSince = false;
    node.toldTime = null;
  }

  /** It was made without being opened. */
  madeClosed(node: Node): void {
    if (node.type === S_IFREG) letGo(node);
  }

  replyOpen(reply: Reply, { flags, backingId }: Opened): void {
    reply.openOut(flags, backingId);
  }

  #closeBacking(node: Node): void {
    if (this.#device !== null && node.backingId !== 0) closeBacking(this.#device, node.backingId);
    node.backingId = 0;
  }
}
