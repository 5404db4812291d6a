/**
 * What a client that is attached to a container sends to its monitor, over the socket in the container's directory. Nothing
 * comes back but the end of the socket, with the container's: its output is in its log.
 */

import { WINDOW_SIZE_BYTES } from "../../src/sys/terminal.ts";

/** The socket's name in the container's directory. */
export const ATTACH_SOCKET = "attach";

/**
 * "input" is for the command, "end" the end of it; "size" is a `struct winsize`. At "hello" an awaited client has said all that
 * the command's beginning needs.
 */
const KINDS = ["hello", "input", "end", "size"] as const;
export type FrameKind = (typeof KINDS)[number];

export interface Frame {
  readonly kind: FrameKind;
  readonly bytes: Buffer;
}

/** A byte for the kind, four for the length (big endian), and so many bytes. */
const HEAD_BYTES = 5;
export const MOST_BYTES = 64 * 1024;

export function encodeFrame(kind: FrameKind, bytes: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = KINDS.indexOf(kind);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** Puts frames together from pieces of a stream. */
export class FrameReader {
  #rest = Buffer.alloc(0);

  /** The frames that `piece` completes; null for what is no frame of ours. */
  read(piece: Buffer): readonly Frame[] | null {
    this.#rest = Buffer.concat([this.#rest, piece]);
    const frames: Frame[] = [];
    while (this.#rest.length >= HEAD_BYTES) {
      const kind = KINDS[this.#rest[0] ?? -1];
      const length = this.#rest.readUInt32BE(1);
      if (kind === undefined || length > MOST_BYTES || (kind === "size" && length !== WINDOW_SIZE_BYTES)) return null;
      if (this.#rest.length < HEAD_BYTES + length) break;
      frames.push({ kind, bytes: this.#rest.subarray(HEAD_BYTES, HEAD_BYTES + length) });
      this.#rest = this.#rest.subarray(HEAD_BYTES + length);
    }
    return frames;
  }
}
