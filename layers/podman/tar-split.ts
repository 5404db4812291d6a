/**
 * tar-split (github.com/vbatts/tar-split, tar/storage): what a layer's tar has beside the contents of its files, so that
 * containers/storage can put the tar together again, byte for byte, from the unpacked tree. One JSON object a line:
 * type 2 is a piece of the tar, type 1 stands for the content of a file, with its size and CRC-64.
 */

import { isErrno } from "../../src/errors.ts";
import { bytesOf, type HostPath, joinHost, parseLayerPath } from "../../src/paths.ts";
import { AT_FDCWD, close, openWithoutLinks } from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";
import type { TarEntry } from "../tar/entry.ts";
import { type TarHandler, TarReader } from "../tar/reader.ts";
import { Crc64 } from "./crc64.ts";

/** A piece of the tar is cut here: what is no file's content may be long, such as a sparse file or zeros at the end. */
const PIECE_BYTES = 1 << 20;

/** Turns the pieces of a tar into lines of a tar-split. `tree` is the unpacked layer. */
export class TarSplitter implements TarHandler {
  readonly #tree: HostPath;
  readonly #reader = new TarReader(this);
  readonly #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #lines = "";
  #position = 0;
  #chunk: Buffer = Buffer.alloc(0);
  /** What of the chunk has been dealt with. */
  #at = 0;
  #entry: TarEntry | null = null;
  /** Of the current file, if its content is taken from the tree. */
  #crc: Crc64 | null = null;
  #sizeBytes = 0;

  constructor(tree: HostPath) {
    this.#tree = tree;
  }

  /** Bytes of the tar so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Takes the next bytes of the tar, and returns lines. Keeps no reference to `chunk`. @throws as `TarReader.push` */
  push(chunk: Buffer): string {
    this.#chunk = chunk;
    this.#at = 0;
    this.#sizeBytes += chunk.length;
    this.#reader.push(chunk);
    this.#keepTo(chunk.length);
    return this.#takeLines();
  }

  /** The tar is complete. @returns the last lines @throws as `TarReader.finish` */
  finish(): string {
    this.#reader.finish();
    this.#cutPiece();
    return this.#takeLines();
  }

  entry(entry: TarEntry): void {
    this.#entry = entry;
    const hasContent = entry.type === "file" && entry.extents === null && entry.sizeBytes > 0;
    this.#crc = hasContent && this.#isInTree(entry) ? new Crc64() : null;
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#crc === null) return;
    const start = bytes.byteOffset - this.#chunk.byteOffset;
    this.#keepTo(start);
    if (offset === 0) this.#cutPiece();
    this.#crc.update(bytes);
    this.#at = start + bytes.length;
  }

  end(): void {
    if (this.#crc === null || this.#entry === null) return;
    const { path, sizeBytes: size } = this.#entry;
    const bytes = bytesOf(path);
    const name = bytes.toString("utf8");
    const named = Buffer.from(name).equals(bytes) ? { name } : { name_raw: bytes.toString("base64") };
    this.#line({ type: 1, ...named, size, payload: this.#crc.digest().toString("base64") });
    this.#crc = null;
  }

  /** Where podman looks for it: an entry that went through a symbolic link would be looked for on the host. */
  #isInTree({ path, sizeBytes }: TarEntry): boolean {
    try {
      const fd = openWithoutLinks(AT_FDCWD, joinHost(this.#tree, parseLayerPath(path)));
      try {
        return statAt(fd, null).sizeBytes === sizeBytes;
      } finally {
        close(fd);
      }
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENXIO")) return false;
      throw error;
    }
  }

  /** What comes before `end` and has not been dealt with belongs to the piece. */
  #keepTo(end: number): void {
    if (end > this.#at) {
      this.#pieces.push(Buffer.from(this.#chunk.subarray(this.#at, end)));
      this.#pieceBytes += end - this.#at;
    }
    this.#at = end;
    if (this.#pieceBytes >= PIECE_BYTES) this.#cutPiece();
  }

  #cutPiece(): void {
    if (this.#pieceBytes === 0) return;
    this.#line({ type: 2, payload: Buffer.concat(this.#pieces).toString("base64") });
    this.#pieces.length = 0;
    this.#pieceBytes = 0;
  }

  #line(entry: object): void {
    this.#lines += `${JSON.stringify({ ...entry, position: this.#position })}\n`;
    this.#position += 1;
  }

  #takeLines(): string {
    const lines = this.#lines;
    this.#lines = "";
    return lines;
  }
}
