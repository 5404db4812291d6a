/**
 * The names of a merged directory, listed once from all its layers and kept up with what is changed through the mount. So
 * a lookup costs no probing of layers, and a name that does not exist costs no system call at all.
 *
 * Every encoding of a whiteout is read here: a character device 0:0, an empty file with `overlay.whiteout` in a directory
 * that says it may hold such, and AUFS' `.wh.` names and `.wh..wh..opq` (as container tools unpack layers for FUSE mounts).
 */

import { isErrno } from "../../src/errors.ts";
import { opaquenessOf } from "../../src/overlay/opaque.ts";
import { isWhiteout, isXattrWhiteout } from "../../src/overlay/whiteout.ts";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { WHITEOUT_PREFIX } from "../../src/paths.ts";
import { DT, forEachDirent } from "../../src/sys/dirents.ts";
import { close, O_DIRECTORY, O_NOATIME, O_NOFOLLOW, O_RDONLY, openAt } from "../../src/sys/file.ts";
import { statAtOrNull } from "../../src/sys/stat.ts";
import { hostPathAt, joinPath, type Location } from "./layer.ts";

const OPAQUE_MARK = ".wh..wh..opq";
const NO_LOWERS: readonly number[] = [];
/** `[position]`, shared by all entries that are in one layer. */
const SINGLE: (readonly number[])[] = [];

function single(position: number): readonly number[] {
  SINGLE[position] ??= [position];
  return SINGLE[position];
}

/** What an upperdir does to a name. */
export type UpperState = "none" | "present" | "whiteout";

export interface IndexEntry {
  readonly name: string;
  /** `DT_*` of what is seen. */
  type: number;
  /** As the layer lists it. */
  ino: number;
  upper: UpperState;
  /** Positions in the directory's lowers that have the name and are not hidden from below: several for directories. */
  lowers: readonly number[];
  /** Where it is in a listing; 0 until it was listed. */
  cookie: number;
}

export interface IndexOptions {
  readonly namespace: OverlayNamespace;
  /** `.wh.` names are whiteouts. */
  readonly aufs: boolean;
}

/** True if the name is seen in the merged directory. */
export function isVisible(entry: IndexEntry | undefined): boolean {
  return entry !== undefined && (entry.upper === "present" || (entry.upper === "none" && entry.lowers.length > 0));
}

export class DirectoryIndex {
  readonly #entries = new Map<string, IndexEntry>();
  #listing: IndexEntry[] | null = null;
  /** 1 and 2 are "." and "..". */
  #lastCookie = 2;
  #added: IndexEntry[] = [];
  /** How often `setPresent` and `setAbsent` were called. */
  changes = 0;

  /** Lists the directory in each layer. `upper` is null where the upperdir does not have it. @throws PosixError */
  constructor(upper: Location | null, lowers: readonly Location[], options: IndexOptions) {
    const closed = new Set<string>();
    for (const [position, location] of lowers.entries()) {
      const isOpaque = this.#addLower(location, position, closed, options, position === lowers.length - 1);
      if (isOpaque) break;
    }
    if (upper !== null && this.#addUpper(upper, options)) {
      for (const entry of this.#entries.values()) if (entry.upper === "none") this.#entries.delete(entry.name);
    }
  }

  get(name: string): IndexEntry | undefined {
    return this.#entries.get(name);
  }

  /** True if nothing is seen in it. */
  get isEmpty(): boolean {
    for (const entry of this.#entries.values()) if (isVisible(entry)) return false;
    return true;
  }

  /** The name is now a file of the upperdir. */
  setPresent(name: string, type: number, ino: number): void {
    this.changes += 1;
    const entry = this.#entries.get(name);
    if (entry !== undefined) {
      const wasVisible = isVisible(entry);
      entry.type = type;
      entry.ino = ino;
      entry.upper = "present";
      if (!wasVisible && entry.cookie === 0) this.#append(entry);
      return;
    }
    const added: IndexEntry = { name, type, ino, upper: "present", lowers: NO_LOWERS, cookie: 0 };
    this.#entries.set(name, added);
    this.#append(added);
  }

  /** Lists it at the end, if anything was listed. */
  #append(entry: IndexEntry): void {
    if (this.#listing === null) return;
    if (this.#added.length > 2 * this.#entries.size) this.#added = this.#added.filter((each) => this.#isThere(each));
    this.#added.push(entry);
  }

  #isThere(entry: IndexEntry): boolean {
    return this.#entries.get(entry.name) === entry;
  }

  /** The name is gone from the upperdir, or hidden there. */
  setAbsent(name: string, upper: "none" | "whiteout"): void {
    this.changes += 1;
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    if (upper === "none" && entry.lowers.length === 0) {
      entry.upper = "none";
      this.#entries.delete(name);
    } else {
      entry.upper = upper;
    }
  }

  /**
   * What was seen when it was first asked for, by inode number, in which order disks are read fastest; and behind it what
   * came since, in the order in which it came. An entry keeps its place as long as it is there, so a reader who stopped at
   * an offset goes on right after it whatever the directory has become.
   */
  listing(): readonly IndexEntry[] {
    if (this.#listing === null) {
      this.#listing = [];
      this.#added = [...this.#entries.values()].sort((a, b) => a.ino - b.ino || (a.name < b.name ? -1 : 1));
    }
    if (this.#added.length === 0) return this.#listing;
    if (this.#listing.length > 2 * this.#entries.size) {
      this.#listing = this.#listing.filter((entry) => this.#isThere(entry));
    }
    for (const entry of this.#added) {
      if (!this.#isThere(entry)) continue;
      this.#lastCookie += 1;
      entry.cookie = this.#lastCookie;
      this.#listing.push(entry);
    }
    this.#added = [];
    return this.#listing;
  }

  /** True if the layer hides those below. */
  #addLower(at: Location, position: number, closed: Set<string>, options: IndexOptions, isLast: boolean): boolean {
    const names = listLayer(at, options);
    for (const { name, type, ino } of names.entries) {
      const entry = this.#entries.get(name);
      if (closed.has(name)) continue;
      if (entry === undefined) {
        this.#entries.set(name, { name, type, ino, upper: "none", lowers: single(position), cookie: 0 });
        if (type !== DT.dir) closed.add(name);
      } else if (entry.type === DT.dir && type === DT.dir) {
        entry.lowers = [...entry.lowers, position];
      } else {
        closed.add(name);
      }
    }
    for (const whiteout of names.whiteouts) closed.add(whiteout); // they hide what is below this layer
    return !isLast && names.isOpaque;
  }

  /** True if the upper directory hides what is below by AUFS' mark. */
  #addUpper(at: Location, options: IndexOptions): boolean {
    const names = listLayer(at, options);
    for (const name of names.whiteouts) this.#put(name, { type: DT.unknown, ino: 0, upper: "whiteout" });
    for (const { name, type, ino } of names.entries) {
      this.#put(name, { type, ino, upper: "present" });
      const entry = this.#entries.get(name);
      if (entry !== undefined && names.whiteouts.has(name)) entry.lowers = NO_LOWERS; // `.wh.` beside it hides them
    }
    return names.isOpaque;
  }

  #put(name: string, state: Pick<IndexEntry, "type" | "ino" | "upper">): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) this.#entries.set(name, { name, ...state, lowers: NO_LOWERS, cookie: 0 });
    else Object.assign(entry, state);
  }
}

interface LayerNames {
  readonly entries: readonly { readonly name: string; readonly type: number; readonly ino: number }[];
  readonly whiteouts: ReadonlySet<string>;
  /** By AUFS' mark: overlayfs' own is on the directory and looked at where the directory is found. */
  readonly isOpaque: boolean;
}

function listLayer({ layer, path }: Location, { namespace, aufs }: IndexOptions): LayerNames {
  const entries: { name: string; type: number; ino: number }[] = [];
  const whiteouts = new Set<string>();
  const unsure: { name: string; type: number; ino: number }[] = [];
  let isOpaque = false;
  const fd = openListing(layer.fd, path);
  try {
    forEachDirent(fd, (name, type, ino) => {
      if (aufs && name.startsWith(WHITEOUT_PREFIX)) {
        if (name === OPAQUE_MARK) isOpaque = true;
        else if (!name.startsWith(".wh..wh.")) whiteouts.add(name.slice(WHITEOUT_PREFIX.length));
      } else if (type === DT.chr || type === DT.unknown) unsure.push({ name, type, ino });
      else entries.push({ name, type, ino });
    });
    for (const { name, ino } of unsure) {
      const stat = statAtOrNull(fd, name);
      if (stat === null) continue;
      if (isWhiteout(stat)) whiteouts.add(name);
      else entries.push({ name, type: stat.mode >> 12, ino });
    }
    if (opaquenessOf(hostPathAt(layer, path), namespace) !== "xattr-whiteouts") return { entries, whiteouts, isOpaque };
    const isHidden = ({ name, type }: { name: string; type: number }): boolean => {
      if (type !== DT.reg) return false;
      const stat = statAtOrNull(fd, name);
      return stat !== null && isXattrWhiteout(hostPathAt(layer, joinPath(path, name)), stat, namespace);
    };
    for (const entry of entries) if (isHidden(entry)) whiteouts.add(entry.name);
    return { entries: entries.filter(({ name }) => !whiteouts.has(name)), whiteouts, isOpaque };
  } finally {
    close(fd);
  }
}

/** Without touching its access time, which is the tree's, where we may. */
function openListing(dirfd: number, path: string): number {
  const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  try {
    return openAt(dirfd, path, flags | O_NOATIME);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    return openAt(dirfd, path, flags);
  }
}
