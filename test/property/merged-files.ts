/** A stack of layers read in this process (src/overlay/merged-tree.ts), as something to compare. It takes no calls. */

import { type MergedEntry, MergedTree } from "../../src/overlay/merged-tree.ts";
import type { HostPath, LayerPath } from "../../src/paths.ts";
import { AT_FDCWD, readlinkAt, S_IFLNK, S_IFMT, S_IFREG } from "../../src/sys/file.ts";
import type { FileSystem, Seen } from "./file-system.ts";
import { join, type Path } from "./model/tree.ts";
import { inodeOfStat } from "./system-calls.ts";
import { contentOf } from "./system-data.ts";

export class MergedFiles implements FileSystem {
  readonly #tree: MergedTree;
  readonly #root: Path;
  readonly #sinceMs: number;

  /** `lowerdirs` top first; `root`: the directory that paths start at. */
  constructor(lowerdirs: readonly HostPath[], root: Path, sinceMs: number) {
    this.#tree = new MergedTree(lowerdirs);
    this.#root = root;
    this.#sinceMs = sinceMs;
  }

  perform(): never {
    throw new Error("it only shows");
  }

  names(directory: Path): readonly string[] {
    return this.#tree.list(this.#entry(directory)).map(({ name }) => name);
  }

  look(path: Path): Seen {
    const entry = this.#entry(path);
    const { stat, hostPath, dataPath } = entry;
    const kind = stat.mode & S_IFMT;
    const content = kind === S_IFREG ? contentOf(dataPath) : kind === S_IFLNK ? readlinkAt(AT_FDCWD, hostPath) : "";
    const xattrs = [...this.#tree.visibleXattrs(entry)].map(([name, value]) => [name, value.toString("latin1")]);
    return { inode: inodeOfStat(stat, this.#sinceMs, content, Object.fromEntries(xattrs)), key: String(stat.ino) };
  }

  #entry(path: Path): MergedEntry {
    const entry = this.#tree.lookup(join(this.#root, path) as LayerPath);
    if (entry === null) throw new Error(`nothing at ${path}`);
    return entry;
  }
}
