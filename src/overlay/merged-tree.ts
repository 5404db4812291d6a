/**
 * A stack of layers as one tree, read without mounting it. It shows what kernel overlayfs shows for the same lowerdirs
 * (fs/overlayfs/namei.c, `ovl_lookup`), with the features that a mount may have switched off: redirects and metacopy.
 * As in the kernel the roots always merge: an opaque mark on a layer's root does nothing. Symbolic links in layers are
 * never followed: every path is walked name by name.
 *
 * Directories that were looked up lately are remembered: the layers must not change while a tree is in use.
 */

import { PosixError } from "../errors.ts";
import { baseName, childPath, type HostPath, joinHost, type LayerPath, NAME_MAX, parentPath, ROOT } from "../paths.ts";
import { listDirectory } from "../sys/directory.ts";
import { AT_FDCWD, S_IFDIR, S_IFMT, S_IFREG } from "../sys/file.ts";
import { type Stat, statAt, statAtOrNull } from "../sys/stat.ts";
import { isMetacopy } from "./metacopy.ts";
import { opaquenessOf } from "./opaque.ts";
import { shownXattrs } from "./override-names.ts";
import { type OverrideAttribute, overriddenStat } from "./override-stat.ts";
import { redirectOf } from "./redirect.ts";
import { isWhiteout, isXattrWhiteout } from "./whiteout.ts";
import type { OverlayNamespace } from "./xattr-names.ts";

const [EPERM, EIO] = [1, 5];
/** So that memory does not follow the number of directories. */
const MAX_REMEMBERED = 16_384;

export interface MergedTreeOptions {
  /** Where the layers have their overlay attributes. Default "trusted". */
  readonly namespace?: OverlayNamespace;
  /** In which attribute files keep owner, mode and type; null, the default: they have them themselves. */
  readonly override?: OverrideAttribute | null;
  /** Default true. false: as the mount option `redirect_dir=nofollow`, a redirect that would be followed is EPERM. */
  readonly followRedirect?: boolean;
  /**
   * Default false. true: no layer but the first can hold redirects, metacopy files or xattr whiteouts, because they were
   * unpacked from tars (only opaque directories and 0:0 whiteouts): a lookup then costs one statx a layer.
   */
  readonly unpackedLayers?: boolean;
  /** A lowerdir whose entries do not show where they lie; moved or changed by an upperdir they do. */
  readonly concealed?: HostPath;
}

/** One name of the merged tree. */
export interface MergedEntry {
  readonly path: LayerPath;
  /** Its last component; "" for the root. */
  readonly name: string;
  /** Of the host file at `hostPath`. For a metacopy file the size is right, the blocks are those of the metadata. */
  readonly stat: Stat;
  /** The file that has the metadata, and whether it is a symbolic link, a device … */
  readonly hostPath: HostPath;
  /** The file that has the content: another one only for a metacopy file. */
  readonly dataPath: HostPath;
  /** The host directories merged here, top first; [] for what is not a directory. */
  readonly directories: readonly HostPath[];
  /** The lowerdirs (by index, 0 is the top) that this comes from: of `directories` in turn, or of metadata and content. */
  readonly layers: readonly number[];
}

/** True if an entry is a directory. */
export function isMergedDirectory(entry: MergedEntry): boolean {
  return entry.directories.length > 0;
}

/** The tree that a stack of layers shows. */
export class MergedTree {
  readonly root: MergedEntry;
  readonly #lowerdirs: readonly HostPath[];
  readonly #namespace: OverlayNamespace;
  readonly #override: OverrideAttribute | null;
  readonly #followRedirect: boolean;
  readonly #unpackedLayers: boolean;
  readonly #concealed: HostPath | null;
  readonly #directories = new Map<LayerPath, MergedEntry | null>();

  /** `lowerdirs` top first, at least one; the first may be an upperdir. @throws a system error if one is missing */
  constructor(lowerdirs: readonly HostPath[], options: MergedTreeOptions = {}) {
    const top = lowerdirs[0];
    if (top === undefined) throw new RangeError("a merged tree needs at least one layer");
    this.#lowerdirs = lowerdirs;
    this.#namespace = options.namespace ?? "trusted";
    this.#override = options.override ?? null;
    this.#followRedirect = options.followRedirect ?? true;
    this.#unpackedLayers = options.unpackedLayers ?? false;
    this.#concealed = options.concealed ?? null;
    this.root = {
      path: ROOT,
      name: "",
      stat: this.#shown(statAt(AT_FDCWD, joinHost(top, ".")), joinHost(top, ".")), // a lowerdir itself may be reached through a symbolic link
      hostPath: top,
      dataPath: top,
      directories: lowerdirs,
      layers: lowerdirs.map((_, index) => index),
    };
    this.#directories.set(ROOT, this.root);
  }

  /**
   * The entry at `path`; null if the tree has none, also when a component before the last is not a directory.
   * @throws PosixError `EIO` for a metacopy file without content below, `EPERM` for a redirect not to be followed,
   *   `EINVAL` for a malformed one
   */
  lookup(path: LayerPath): MergedEntry | null {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    const parent = this.#lookupParent(path);
    if (parent === null) return null;
    const entry = this.#resolve(parent, baseName(path), null);
    if (entry !== null && isMergedDirectory(entry)) this.#remember(path, entry);
    return entry;
  }

  /** The entries of a directory, sorted by bytes. [] for what is not a directory. @throws as `lookup` */
  list(directory: MergedEntry): readonly MergedEntry[] {
    const entries: MergedEntry[] = [];
    for (const [name, positions] of namesIn(directory)) {
      const path = childPath(directory.path, name);
      const entry = this.#directories.get(path) ?? this.#resolve(directory, name, positions);
      if (entry === null) continue;
      if (isMergedDirectory(entry)) this.#remember(path, entry);
      entries.push(entry);
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The extended attributes that a mount shows, by name. @throws PosixError */
  visibleXattrs(entry: MergedEntry): ReadonlyMap<string, Buffer> {
    return shownXattrs(entry.hostPath, this.#namespace, this.#override);
  }

  #remember(path: LayerPath, entry: MergedEntry | null): void {
    if (this.#directories.size >= MAX_REMEMBERED) {
      this.#directories.clear();
      this.#directories.set(ROOT, this.root);
    }
    this.#directories.set(path, entry);
  }

  /** The directory that `path` is in, remembered even if there is none, so that many lookups below it cost nothing. */
  #lookupParent(path: LayerPath): MergedEntry | null {
    const parent = parentPath(path);
    const entry = this.lookup(parent);
    if (entry !== null && isMergedDirectory(entry)) return entry;
    this.#remember(parent, entry);
    return null;
  }

  /** `positions`: which of `parent.directories` have the name, where that is known. */
  #resolve(parent: MergedEntry, name: string, positions: readonly number[] | null): MergedEntry | null {
    if (name.length > NAME_MAX) return null;
    const search = new Search(name);
    let { directories, layers } = parent;
    for (let at = 0; at < directories.length && !search.stop; at++) {
      if (positions !== null && search.redirect === null && !positions.includes(at)) continue;
      const [base, layer] = [directories[at], layers[at]];
      if (base === undefined || layer === undefined) break;
      if (!this.#probe(search, base, layer)) continue;
      if (search.stop || search.redirect === null) continue;
      if (!this.#followRedirect) throw new PosixError(EPERM, "overlay redirect", joinHost(base, name));
      if (search.redirect.startsWith("/") && directories !== this.root.directories) {
        ({ directories, layers } = this.root);
        at = layer; // the loop goes on with the layer below this one
      }
    }
    if (search.metacopy) throw new PosixError(EIO, "overlay metacopy", childPath(parent.path, name));
    const entry = search.entry(childPath(parent.path, name), name);
    return entry === null || this.#isConcealed(entry) ? null : entry;
  }

  #isConcealed({ path, hostPath, layers }: MergedEntry): boolean {
    return this.#concealed !== null && layers.length === 1 && hostPath === joinHost(this.#concealed, path);
  }

  /** Looks in one layer, as `ovl_lookup_layer`; true if something was found there that counts. */
  #probe(search: Search, base: HostPath, layer: number): boolean {
    if (search.redirect === null) return this.#probeName(search, joinHost(base, search.name), layer, 0, "") !== null;
    if (!search.redirect.startsWith("/")) {
      return this.#probeName(search, joinHost(base, search.redirect), layer, 0, "") !== null;
    }
    // An absolute redirect, name by name from this layer's root. What is left is counted from the end, because a
    // redirect found on the way replaces what is before it.
    let directory: HostPath | null = base;
    let rest = search.redirect.slice(1);
    while (directory !== null) {
      const slash = rest.indexOf("/");
      const name = slash < 0 ? rest : rest.slice(0, slash);
      const after = slash < 0 ? "" : rest.slice(slash);
      const before: number = search.redirect.length - rest.length;
      directory = this.#probeName(search, joinHost(directory, name), layer, before, after);
      if (after === "") break;
      rest = after.slice(1);
    }
    return directory !== null;
  }

  /** Looks at one file, as `ovl_lookup_single`. `before` and `after` say which part of an absolute redirect it is. */
  #probeName(search: Search, path: HostPath, layer: number, before: number, after: string): HostPath | null {
    const found = statAtOrNull(AT_FDCWD, path);
    if (found === null) return null;
    const isLast = after === "";
    const plain = this.#unpackedLayers && layer > 0;
    if (isWhiteout(found) || (!plain && isXattrWhiteout(path, found, this.#namespace))) return search.end();
    const stat = this.#shown(found, path);
    const kind = stat.mode & S_IFMT;
    if (isLast && search.metacopy && kind !== S_IFREG) return search.end();
    if (kind !== S_IFDIR) {
      if (search.isDirectory || !isLast) return search.end();
      search.metacopy = kind === S_IFREG && !plain && isMetacopy(path, this.#namespace);
      search.found(path, stat, layer);
      if (!search.metacopy) search.end();
      else this.#followFrom(search, path, layer, before, after);
      return path;
    }
    if (isLast) {
      search.isDirectory = true;
      search.found(path, stat, layer);
    }
    if (layer === this.#lowerdirs.length - 1) return path; // nothing is below: neither mark matters
    if (opaquenessOf(path, this.#namespace) === "opaque") search.end();
    else if (!plain) this.#followFrom(search, path, layer, before, after);
    return path;
  }

  #shown(stat: Stat, path: HostPath): Stat {
    return this.#override === null ? stat : overriddenStat(stat, path, this.#override);
  }

  #followFrom(search: Search, path: HostPath, layer: number, before: number, after: string): void {
    if (layer === this.#lowerdirs.length - 1) return;
    const redirect = redirectOf(path, this.#namespace);
    if (redirect === null) return;
    const absolute = redirect.startsWith("/");
    if (absolute) search.stop = false; // an opaque directory passed on the way to it does not count
    search.redirect = (absolute ? redirect : (search.redirect ?? "").slice(0, before) + redirect) + after;
  }
}

/** What is known of one name while the layers are gone through. */
class Search {
  readonly name: string;
  /** Where to look from the next layer on, instead of `name`. */
  redirect: string | null = null;
  stop = false;
  isDirectory = false;
  /** A metacopy file was found and its content not yet. */
  metacopy = false;
  #stat: Stat | null = null;
  readonly #paths: HostPath[] = [];
  readonly #layers: number[] = [];

  constructor(name: string) {
    this.name = name;
  }

  end(): null {
    this.stop = true;
    return null;
  }

  found(path: HostPath, stat: Stat, layer: number): void {
    this.#stat ??= stat;
    this.#paths.push(path);
    this.#layers.push(layer);
  }

  entry(path: LayerPath, name: string): MergedEntry | null {
    const [hostPath, dataPath] = [this.#paths[0], this.#paths[this.#paths.length - 1]];
    if (this.#stat === null || hostPath === undefined || dataPath === undefined) return null;
    return {
      path,
      name,
      stat: this.#stat,
      hostPath,
      dataPath: this.isDirectory ? hostPath : dataPath,
      directories: this.isDirectory ? this.#paths : [],
      layers: this.#layers,
    };
  }
}

/** Every name in the directories merged here, and at which positions of the stack it is. */
function namesIn(directory: MergedEntry): ReadonlyMap<string, readonly number[]> {
  const names = new Map<string, number[]>();
  directory.directories.forEach((hostDirectory, position) => {
    for (const { name } of listDirectory(hostDirectory)) {
      const positions = names.get(name);
      if (positions === undefined) names.set(name, [position]);
      else positions.push(position);
    }
  });
  return names;
}
