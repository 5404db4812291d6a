/** A union mount's state: the layers, where changes go, and the nodes that the kernel knows. */

import { PosixError } from "../../src/errors.ts";
import type { Logger } from "../../src/log.ts";
import { storedXattr } from "../../src/overlay/override-names.ts";
import { overrideAttributeOf } from "../../src/overlay/override-stat.ts";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import { close, S_IFDIR } from "../../src/sys/file.ts";
import { openFilesLimit } from "../../src/sys/limits.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { listXattrs } from "../../src/sys/xattr.ts";
import type { FuseOptions } from "../options.ts";
import { ROOT_ID } from "../protocol/constants.ts";
import { CacheTally } from "./cache-tally.ts";
import { DirectoryIndex } from "./directory-index.ts";
import { ERRNO } from "./errno.ts";
import { hostPathAt, joinPath, type Layer, LayerOpener, type Location, shownIno } from "./layer.ts";
import { type Node, NodeTable } from "./node.ts";
import { OpenFiles } from "./open-files.ts";
import { putRootOwnership, shownStat, upperOverride } from "./ownership.ts";
import { openWorkdir, type Upper } from "./workdir.ts";

/** Something on disk to call a system call with: an open file (`path` is null), or a path from a descriptor. */
export interface Place {
  readonly fd: number;
  readonly path: string | null;
}

export class Union {
  readonly options: FuseOptions;
  readonly namespace: OverlayNamespace;
  readonly log: Logger;
  readonly lowers: readonly Layer[];
  readonly upper: Upper | null;
  readonly nodes = new NodeTable();
  readonly root: Node;
  readonly openFiles = new OpenFiles(openFilesLimit());
  /** New files get security labels from the kernel: one is set on the upperdir. */
  readonly hasLabels: boolean;
  /** POSIX ACLs are kept; not where owners are in an attribute: an ACL on such a file would shut out the server itself. */
  readonly hasAcls: boolean;
  /** A server has it in its counters. */
  tally = new CacheTally();
  /** Names in the workdir of copies that have a lower file's content, and nothing else of it yet. */
  readonly prepared = new Map<Node, string>();
  /** Of lower files with several names, by their link key: how many were taken away, as a negative number. */
  readonly takenNames = new Map<string, number>();
  /** Called when a node was changed by the way, and not by what the kernel asked for: its attributes are others now. */
  onSideEffect: (node: Node) => void = () => {};

  /**
   * Opens the layers and makes the workdir ready. Nothing is mounted yet.
   * @throws PosixError if a directory is missing; `EBUSY` if another server has the workdir, `EINVAL` if a volatile mount
   *   left its mark, `EXDEV` if upperdir and workdir are on different file systems
   */
  constructor(options: FuseOptions, log: Logger) {
    this.options = options;
    this.log = log;
    this.namespace = (options.userxattr ?? !canRestoreOwners()) ? "user" : "trusted";
    const opener = new LayerOpener();
    const found = (root: HostPath) => (options.findOverrides ? overrideAttributeOf(root) : null);
    const upperLayer =
      options.upperdir === null ? null : opener.open(options.upperdir, -1, (root) => upperOverride(options, root));
    this.lowers = options.lowerdirs.map((path, index) => opener.open(path, index, found));
    this.upper =
      upperLayer === null || options.workdir === null
        ? null
        : openWorkdir(upperLayer, options.workdir, { isVolatile: options.volatile, namespace: this.namespace });
    const lowers = this.lowers.map((layer) => ({ layer, path: "." }));
    this.hasAcls = options.posixAcl && (upperLayer?.override ?? null) === null;
    if (upperLayer !== null) putRootOwnership(upperLayer, this.lowers);
    const top = upperLayer ?? this.lowers[0];
    if (top === undefined) throw new RangeError("a union needs at least one layer");
    const ino = this.inodeNumber(top, statAt(top.fd, null));
    this.root = this.nodes.add(S_IFDIR, ino, upperLayer !== null, lowers);
    this.root.lookups = 1;
    this.hasLabels =
      upperLayer !== null && listXattrs(hostPathAt(upperLayer, ".")).some((name) => name.startsWith("security."));
  }

  /** Closes all that is open; nothing of it can be used any more. */
  [Symbol.dispose](): void {
    for (const node of this.nodes) if (node.fd >= 0) close(node.fd);
    this.upper?.close();
    for (const layer of this.upper === null ? this.lowers : [this.upper.layer, ...this.lowers]) close(layer.fd);
  }

  /** The node that the kernel names. @throws PosixError `ESTALE` for one that we do not know */
  node(id: number): Node {
    const node = id === ROOT_ID ? this.root : this.nodes.get(id);
    if (node === undefined) throw new PosixError(ERRNO.ESTALE, "fuse");
    return node;
  }

  /** The number that is shown for a file of `layer`. */
  inodeNumber(layer: Layer, stat: Stat): number {
    return shownIno(layer, stat.inoLow + stat.inoHigh * 2 ** 32);
  }

  /** The upperdir. @throws PosixError `EROFS` if there is none, or nothing may be changed */
  writable(): Upper {
    if (this.upper === null || this.options.readOnly) throw new PosixError(ERRNO.EROFS, "fuse");
    return this.upper;
  }

  /** The path of a directory or named file of the upperdir, from its root. */
  upperPath(node: Node): string {
    const [first] = node.names;
    if (first === undefined) return ".";
    let path = first.name;
    for (let at = first.parent; at.names[0] !== undefined; at = at.names[0].parent)
      path = `${at.names[0].name}/${path}`;
    return path;
  }

  /**
   * Where the file itself is now: its metadata, and unless it is a metacopy file its content. One of the upperdir that is
   * open is its descriptor.
   */
  placeOf(node: Node): Place {
    if (node.upper && node.isWritable) return { fd: node.fd, path: null };
    return this.namedPlaceOf(node);
  }

  /** The same by a name, unless it has none. */
  namedPlaceOf(node: Node): Place {
    if (node.upper) {
      if (node.indexName !== null && this.upper !== null) return { fd: this.upper.index.fd, path: node.indexName };
      if (node.isOrphan) return { fd: node.fd, path: null };
      return { fd: this.#upperLayer().fd, path: this.upperPath(node) };
    }
    const [location] = node.lowers;
    if (location === undefined) throw new PosixError(ERRNO.ESTALE, "fuse");
    return { fd: location.layer.fd, path: location.path };
  }

  /** `placeOf` for calls that take no directory descriptor. */
  xattrTargetOf(node: Node): number | HostPath {
    if (node.upper) {
      if (node.isWritable) return node.fd;
      if (node.indexName !== null && this.upper !== null) return joinHost(this.upper.index.path, node.indexName);
      if (node.isOrphan) return node.fd;
      return hostPathAt(this.#upperLayer(), this.upperPath(node));
    }
    const [location] = node.lowers;
    if (location === undefined) throw new PosixError(ERRNO.ESTALE, "fuse");
    return hostPathAt(location.layer, location.path);
  }

  #upperLayer(): Layer {
    if (this.upper === null) throw new PosixError(ERRNO.EROFS, "fuse");
    return this.upper.layer;
  }

  /** The layer that a node is in. */
  layerOf(node: Node): Layer {
    const layer = node.upper ? this.#upperLayer() : node.lowers[0]?.layer;
    if (layer === undefined) throw new PosixError(ERRNO.ESTALE, "fuse");
    return layer;
  }

  /** The name under which a layer has the attribute that is shown as `name`. @throws PosixError `EPERM` if none can be */
  storedName({ override }: Layer, name: string): string {
    const stored = storedXattr(name, this.namespace, override);
    if (stored === null) throw new PosixError(ERRNO.EPERM, "xattr");
    return stored;
  }

  /** @throws PosixError */
  statOf(node: Node): Stat {
    const { fd, path } = this.placeOf(node);
    return shownStat(this.layerOf(node), statAt(fd, path), () => this.xattrTargetOf(node));
  }

  /** The names in a directory. @throws PosixError `ENOTDIR` */
  indexOf(directory: Node): DirectoryIndex {
    if (!directory.isDirectory) throw new PosixError(ERRNO.ENOTDIR, "fuse");
    this.tally.count("listings", directory.index !== null);
    if (directory.index === null) {
      const upper: Location | null =
        directory.upper && !directory.isOrphan ? { layer: this.#upperLayer(), path: this.upperPath(directory) } : null;
      directory.index = new DirectoryIndex(upper, directory.isOrphan ? [] : directory.lowers, {
        namespace: this.namespace,
        aufs: this.options.aufs,
      });
    }
    return directory.index;
  }

  /** The path of an entry of a directory that is in the upperdir. */
  childPath(directory: Node, name: string): string {
    return joinPath(this.upperPath(directory), name);
  }
}
