/**
 * The members of an outer archive (an OCI archive, a docker-archive) and where their bytes lie. Only headers are read:
 * bodies, which may be many gigabytes, are skipped by their size and later read in place. Each member gets a tar reader
 * of its own, since one reader would want to see the bodies.
 *
 * Of two members with one name the last counts, as for docker, podman and GNU tar, which unpack archives before they
 * read them.
 */

import { type FileHandle, open } from "node:fs/promises";
import { IntegrityError, UnsupportedError } from "../../src/errors.ts";
import { bytesFromText, bytesOf, display, type HostPath, type LayerPath, parseLayerPath } from "../../src/paths.ts";
import type { TarEntry } from "../tar/entry.ts";
import { TarReader } from "../tar/reader.ts";
import type { BlobLocation } from "./source.ts";
import { readAt, type SourceFiles } from "./source-files.ts";

/** The most members: an image has a few for each layer. */
const MEMBER_LIMIT = 65_536;
/** The most links from one member to the next, as in the kernel. */
const LINK_LIMIT = 40;
const BLOCK_BYTES = 512;
/** Read at a time: enough for a member with its extension headers. */
const WINDOW_BYTES = 8 * BLOCK_BYTES;

type Member =
  | { readonly kind: "file"; readonly offset: number; readonly sizeBytes: number }
  | { readonly kind: "symlink" | "hardlink"; readonly target: string };

/** The files of an archive. */
export class ArchiveFiles implements SourceFiles {
  readonly #file: HostPath;
  readonly #members: ReadonlyMap<LayerPath, Member>;

  private constructor(file: HostPath, members: ReadonlyMap<LayerPath, Member>) {
    this.#file = file;
    this.#members = members;
  }

  /**
   * Reads the headers of the uncompressed tar `file`, which messages call `name`.
   * @throws {IntegrityError} `ERR_ARCHIVE_MALFORMED`, `ERR_PATH_UNSAFE`, or what the tar reader throws
   * @throws {UnsupportedError} `ERR_ARCHIVE_MEMBERS` if there are more than an image can have
   */
  static async open(file: HostPath, name: HostPath, signal?: AbortSignal): Promise<ArchiveFiles> {
    const handle = await open(bytesOf(file));
    try {
      return new ArchiveFiles(file, await readMembers(handle, name, signal));
    } finally {
      await handle.close();
    }
  }

  /** True if there is a member called `name`, of whatever type. */
  has(name: string): boolean {
    return this.#members.has(bytesFromText(name) as LayerPath);
  }

  async locate(name: string): Promise<BlobLocation | null> {
    let path = parseLayerPath(bytesFromText(name));
    for (let links = 0; links <= LINK_LIMIT; links++) {
      const member = this.#members.get(path);
      if (member === undefined) return null;
      if (member.kind === "file") {
        return { file: this.#file, offset: member.offset, sizeBytes: member.sizeBytes };
      }
      path = linkTarget(path, member);
    }
    throw new IntegrityError(
      "ERR_ARCHIVE_MALFORMED",
      `Cannot read ${JSON.stringify(name)}: its links lead in a circle`,
    );
  }
}

async function readMembers(
  handle: FileHandle,
  name: HostPath,
  signal: AbortSignal | undefined,
): Promise<Map<LayerPath, Member>> {
  const { size: fileBytes } = await handle.stat();
  const members = new Map<LayerPath, Member>();
  let offset = 0;
  for (let count = 0; ; count++) {
    signal?.throwIfAborted();
    const found = await readHeader(handle, offset);
    if (found === null) return members;
    if (count === MEMBER_LIMIT) {
      const why = `it has more than ${MEMBER_LIMIT} members; for the tar of a root file system pass --rootfs`;
      throw new UnsupportedError("ERR_ARCHIVE_MEMBERS", `Cannot import "${display(name)}": ${why}`);
    }
    const { entry, bodyOffset } = found;
    const bodyEnd = bodyOffset + entry.sizeBytes;
    if (bodyEnd > fileBytes || entry.extents !== null) {
      const state = entry.extents !== null ? "is sparse" : "is cut short";
      const why = `its member "${display(entry.path.slice(0, 300))}" ${state}`;
      throw new IntegrityError("ERR_ARCHIVE_MALFORMED", `Cannot read the archive "${display(name)}": ${why}`);
    }
    const path = parseLayerPath(entry.path);
    const member = memberOf(entry, bodyOffset);
    if (member === null) members.delete(path);
    else members.set(path, member);
    offset = bodyOffset + Math.ceil(entry.sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
  }
}

function memberOf({ type, linkTarget: target, sizeBytes }: TarEntry, offset: number): Member | null {
  if (type === "file") return { kind: "file", offset, sizeBytes };
  return type === "symlink" || type === "hardlink" ? { kind: type, target } : null; // others are nothing of an image
}

/** The member whose header, or first extension header, is at `offset`; null at the end of the archive. */
async function readHeader(
  handle: FileHandle,
  offset: number,
): Promise<{ readonly entry: TarEntry; readonly bodyOffset: number } | null> {
  const entries: TarEntry[] = [];
  const ignore = (): void => {};
  const reader = new TarReader({ entry: (entry) => void entries.push(entry), data: ignore, end: ignore });
  for (let at = offset; ; at += WINDOW_BYTES) {
    const window = await readAt(handle, at, WINDOW_BYTES); // the reader bounds what comes before an entry
    for (let block = 0; block < window.length; block += BLOCK_BYTES) {
      const bytes = window.subarray(block, block + BLOCK_BYTES);
      if (at + block === offset && bytes.every((byte) => byte === 0)) return null;
      reader.push(bytes);
      const [entry] = entries;
      if (entry !== undefined) return { entry, bodyOffset: at + block + BLOCK_BYTES };
    }
    if (window.length < WINDOW_BYTES) {
      reader.finish();
      return null; // an archive may lack the blocks of zeros at its end
    }
  }
}

/** What a link leads to: a symlink starts from its own directory, a hard link from the top. */
function linkTarget(path: LayerPath, member: { readonly kind: "symlink" | "hardlink"; readonly target: string }) {
  const { target } = member;
  if (member.kind === "hardlink") return parseLayerPath(target);
  const parts = target.startsWith("/") ? [] : path.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) {
      const why = `it is a link to "${display(target)}", outside the archive`;
      throw new IntegrityError("ERR_ARCHIVE_MALFORMED", `Cannot read "${display(path)}": ${why}`);
    }
  }
  return parseLayerPath(parts.join("/"));
}
