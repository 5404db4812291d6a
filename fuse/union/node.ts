/**
 * What the kernel knows by a node id: one file of the merged tree, under however many names. A node lives while the
 * kernel has references to it (`lookups`), or while one below it does, whose path leads through it.
 */

import { close, S_IFDIR } from "../../src/sys/file.ts";
import type { TimeChange } from "../../src/sys/times.ts";
import { ROOT_ID } from "../protocol/constants.ts";
import type { DirectoryIndex } from "./directory-index.ts";
import type { HiddenChange } from "./hidden-change.ts";
import type { Location } from "./layer.ts";

/** A name of a node: an entry of a directory. */
export interface Name {
  readonly parent: Node;
  readonly name: string;
}

/** From here on an array of names grows in place: a copy for each of 60,000 names kept the collector busy. */
const MANY_NAMES = 8;

/** How the kernel reads and writes an open file: through its page cache and us, or the backing file itself. */
export type IoMode = "closed" | "cached" | "passthrough";

/** Whether the page cache was given a file's content, or that it is too large for it. */
export type Preload = "untried" | "done" | "large";

export class Node {
  readonly id: number;
  /** The type bits of its mode. */
  readonly type: number;
  /** The inode number that is shown: the same for as long as the file exists, over copy-up and mounts. */
  readonly ino: number;
  /** References that the kernel holds. */
  lookups = 0;
  /** Its names as far as they are known; [] for the root and for what was unlinked. */
  names: Name[] = [];
  /** It is in the upperdir, below its names or behind `fd`. */
  upper: boolean;
  /** A directory: the lower directories that are merged here, top first. Else: where its metadata are, if not above. */
  lowers: readonly Location[];
  /** Of a lower file: how much its content takes on disk, holes left out. */
  lowerBytes = 0;
  /** Open for its content; or what is left of a file without a name. -1: not open. */
  fd = -1;
  /** `fd` can be written. */
  isWritable = false;
  /** In the upperdir with its content: no metacopy. False: it is not, or that was not looked up. */
  isWhole = false;
  /** How often the kernel has it open. */
  opens = 0;
  /** How often of these for writing. */
  writers = 0;
  ioMode: IoMode = "closed";
  /** Of the passthrough registration; 0 without. */
  backingId = 0;
  /** The page cache may hold what was there before it was written past the cache. */
  isCacheStale = false;
  preload: Preload = "untried";
  /** When it was modified by what the page cache, which writes when it likes, knows; null while that has written nothing. */
  toldTime: TimeChange | null = null;
  /** The page cache wrote to it since. */
  isWrittenSince = false;
  /** A copy of a lower file with several names: its name in the index. */
  indexName: string | null = null;
  /** How many more names than links in the upperdir it has then; of a file that is below, how many were taken away. */
  extraNames = 0;
  /** By which it is found in the table of hard links; "" if it has one name. */
  linkKey = "";
  /** Children that have nodes; null for what is no directory. */
  readonly children: Map<string, Node> | null;
  index: DirectoryIndex | null = null;
  /** No extended attribute is to be shown: it was made by this server, or below and looked at, and nobody has set one. */
  hasNoXattrs = false;
  /** A directory: names in it were looked up since its listing began, so the rest will be too. */
  isScanned = false;
  /** A directory of the upperdir: files in it may be copies of lower ones. */
  isImpure: boolean | null = null;
  /** A directory that a copy-up touched: what is not shown of that. Whatever changes it otherwise sets this to null. */
  hiddenChange: HiddenChange | null = null;
  /** What new entries get from a directory; null: to be looked up. */
  inheritance: Inheritance | null = null;

  constructor(id: number, type: number, ino: number, upper: boolean, lowers: readonly Location[]) {
    this.id = id;
    this.type = type;
    this.ino = ino;
    this.upper = upper;
    this.lowers = lowers;
    this.children = type === S_IFDIR ? new Map() : null;
  }

  get isDirectory(): boolean {
    return this.children !== null;
  }

  /** It was in the upperdir and has no name there any more. */
  get isOrphan(): boolean {
    return this.names.length === 0 && this.id !== ROOT_ID;
  }
}

/** What a directory hands down to what is made in it. */
export interface Inheritance {
  /** The group, if the directory is setgid. */
  readonly gid: number | null;
  /** It has a default ACL: then the umask does not count. */
  readonly hasDefaultAcl: boolean;
}

/** All nodes, by id and by hard link. */
export class NodeTable {
  readonly #nodes = new Map<number, Node>();
  readonly #links = new Map<string, Node>();
  #lastId = 0;
  /** Called before a node is gone for good. */
  onDrop: (node: Node) => void = () => {};

  get size(): number {
    return this.#nodes.size;
  }

  /** Makes a node. The first is the root. */
  add(type: number, ino: number, upper: boolean, lowers: readonly Location[]): Node {
    this.#lastId += 1;
    const node = new Node(this.#lastId, type, ino, upper, lowers);
    this.#nodes.set(node.id, node);
    return node;
  }

  get(id: number): Node | undefined {
    return this.#nodes.get(id);
  }

  findLink(key: string): Node | undefined {
    return this.#links.get(key);
  }

  setLink(node: Node, key: string): void {
    if (node.linkKey !== "" && this.#links.get(node.linkKey) === node) this.#links.delete(node.linkKey);
    node.linkKey = key;
    if (key !== "") this.#links.set(key, node);
  }

  /** Gives a node one more name. */
  attach(node: Node, parent: Node, name: string): void {
    const added = { parent, name };
    if (node.names.length < MANY_NAMES)
      node.names = [...node.names, added]; // push() would make room for 16 more
    else node.names.push(added);
    parent.children?.set(name, node);
  }

  /** Takes a name away. */
  detach(node: Node, parent: Node, name: string): void {
    const at = node.names.findIndex((each) => each.name === name && each.parent === parent);
    if (at >= 0) node.names.splice(at, 1);
    if (parent.children?.get(name) === node) parent.children.delete(name);
    this.#dropIfUnused(parent);
  }

  /** The kernel gives back `count` references. */
  forget(id: number, count: number): void {
    const node = this.#nodes.get(id);
    if (node === undefined || id === ROOT_ID) return;
    node.lookups = Math.max(0, node.lookups - count);
    this.#dropIfUnused(node);
  }

  #dropIfUnused(node: Node): void {
    if (node.lookups > 0 || node.id === ROOT_ID || (node.children !== null && node.children.size > 0)) return;
    if (!this.#nodes.delete(node.id)) return;
    this.onDrop(node);
    this.setLink(node, "");
    if (node.fd >= 0) close(node.fd);
    node.fd = -1;
    for (const { parent, name } of node.names) {
      if (parent.children?.get(name) === node) parent.children.delete(name);
      this.#dropIfUnused(parent);
    }
  }

  *[Symbol.iterator](): Generator<Node> {
    yield* this.#nodes.values();
  }
}
