/**
 * A diff as an OCI layer tar (image-spec, layer.md). Members are sorted by the bytes of their paths: a directory comes
 * before what is in it, and the first of several hard links is the file. The same diff gives the same bytes.
 *
 * A whiteout is an empty file of mode 0, owner 0:0 and mtime 0 at the place of the path that it deletes, as containerd
 * writes them but with a time that does not change.
 */

import { UnsupportedError } from "../../src/errors.ts";
import { baseName, childPath, display, type LayerPath, PATH_MAX, parentPath } from "../../src/paths.ts";
import { AT_FDCWD, readlinkAt } from "../../src/sys/file.ts";
import type { Stat } from "../../src/sys/stat.ts";
import { EMPTY_FILE, type EntryType, entryTypeOf, NO_XATTRS, type TarEntry } from "../tar/entry.ts";
import { byPath, inodeKey, type LayerDiff, type LayerNode, WHITEOUT_PREFIX } from "./change.ts";
import { TarFiller } from "./tar-filler.ts";
import { type TarSink, TarStreamWriter } from "./tar-stream-writer.ts";

export interface LayerTarOptions {
  /** No mtime in the tar is later than this (`SOURCE_DATE_EPOCH`). */
  readonly epochNs?: bigint;
  /** Default true: holes of files are left out. false: they are zeros, as other engines need them that are to write it again. */
  readonly sparse?: boolean;
  /** If given, every file must be as it was found once it has been read, and the stats of those are put in here. */
  readonly unchanged?: Set<Stat>;
  /** What reads the files, if it is there already. It is taken over. */
  readonly filler?: TarFiller;
  readonly signal?: AbortSignal;
  /** Called now and then with the bytes written so far. */
  readonly onProgress?: (sizeBytes: number) => void;
}

/**
 * Writes a diff as a layer tar, waiting for the sink once a chunk.
 * @returns the size of the tar
 * @throws {ConflictError} `ERR_FILE_CHANGED` if a file shrinks while it is read, or changes with `unchanged`
 * @throws {UnsupportedError} `ERR_PATH_TOO_LONG` if an import would refuse a path
 */
export async function writeLayerTar(diff: LayerDiff, sink: TarSink, options: LayerTarOptions = {}): Promise<number> {
  const members = [...diff.changes, ...diff.parents.map((node) => ({ path: node.path, node }))].sort(byPath);
  await using writer = new LayerTarWriter(sink, options);
  for (const { path, node } of members) {
    if (path.length > PATH_MAX) throw tooLong(path);
    const adding = node === null ? writer.whiteout(path) : writer.node(node);
    if (adding !== undefined) await adding; // most files need no turn of the event loop
    if (writer.isFull) await writer.drain();
  }
  return await writer.finish(); // before the writer is disposed
}

/** A tree can be made deeper than a path is long, by whoever changes directory on the way. */
function tooLong(path: LayerPath): UnsupportedError {
  const shown = `${display(path.slice(0, 300))}…`;
  const state = `its path is ${path.length} bytes long, the most is ${PATH_MAX}`;
  return new UnsupportedError("ERR_PATH_TOO_LONG", `Cannot put "${shown}" into a layer: ${state}`, {
    data: { path: display(path) },
  });
}

/** Writes nodes as members of a tar, in the order they come: parents first. */
export class LayerTarWriter extends TarStreamWriter {
  readonly #options: LayerTarOptions;
  readonly #firstNames = new Map<string, LayerPath>();

  constructor(sink: TarSink, options: LayerTarOptions) {
    super(sink, options.unchanged ?? null, options.filler ?? new TarFiller());
    this.#options = options;
  }

  override async drain(): Promise<void> {
    this.#options.signal?.throwIfAborted();
    await super.drain();
    this.#options.onProgress?.(this.sizeBytes);
  }

  whiteout(path: LayerPath): undefined {
    this.add({ ...EMPTY_FILE, path: childPath(parentPath(path), WHITEOUT_PREFIX + baseName(path)) });
  }

  /** Adds a file, directory … or, for a file that is in already, a hard link to it. Resolves without waiting if it can. */
  node(node: LayerNode): Promise<void> | undefined {
    const { stat } = node;
    const type = typeOf(stat.mode);
    const { epochNs } = this.#options;
    const first = type !== "directory" && stat.nlink > 1 ? this.#firstName(node) : null;
    if (type === "file" && first === null && this.#addPlain(node)) return undefined;
    const isLink = first !== null;
    const isDevice = type === "character" || type === "block";
    const entry: TarEntry = {
      path: memberName(node.path, type),
      type: isLink ? "hardlink" : type,
      linkTarget: first ?? (type === "symlink" ? readlinkAt(AT_FDCWD, node.hostPath) : ""),
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      mtimeNs: epochNs !== undefined && stat.mtimeNs > epochNs ? epochNs : stat.mtimeNs,
      sizeBytes: type === "file" && !isLink ? stat.sizeBytes : 0,
      extents: null,
      deviceMajor: isDevice && !isLink ? stat.rdevMajor : 0,
      deviceMinor: isDevice && !isLink ? stat.rdevMinor : 0,
      xattrs: isLink ? NO_XATTRS : node.xattrs,
    };
    if (entry.sizeBytes > 0) {
      const isMetacopy = node.dataPath !== node.hostPath; // the blocks of its stat are not those of the content
      return this.addFile(entry, node.dataPath, isMetacopy ? null : stat, this.#options.sparse ?? true);
    }
    this.add(entry);
    return undefined;
  }

  /** Adds a file as `addPlainFile` does: most are such, and each object that is not made for them counts. */
  #addPlain({ path, stat, hostPath, dataPath, xattrs }: LayerNode): boolean {
    const { mode, uid, gid, sizeBytes, blocks512, mtimeSeconds, mtimeRest } = stat;
    const hasHoles = blocks512 * 512 < sizeBytes;
    const { epochNs } = this.#options;
    const isClamped = epochNs !== undefined && stat.mtimeNs > epochNs;
    if (hasHoles || isClamped || xattrs.size > 0 || dataPath !== hostPath) return false;
    const file = { path, mode: mode & 0o7777, uid, gid, sizeBytes, mtimeSeconds, mtimeRest };
    return this.addPlainFile(file, hostPath, stat);
  }

  /** The name under which a file with several is in the tar already; null for the first, which is remembered. */
  #firstName({ path, stat }: LayerNode): LayerPath | null {
    const key = inodeKey(stat);
    const first = this.#firstNames.get(key);
    if (first !== undefined) return first;
    this.#firstNames.set(key, path);
    return null;
  }
}

/** As tar writes it: directories end with "/", the root is "./". */
function memberName(path: LayerPath, type: EntryType): string {
  if (type !== "directory") return path;
  return path === "" ? "./" : `${path}/`;
}

function typeOf(mode: number): EntryType {
  const type = entryTypeOf(mode);
  if (type === null) throw new TypeError(`no tar member for mode ${mode.toString(8)}`);
  return type;
}
