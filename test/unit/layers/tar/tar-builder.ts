/** Archives made by hand, and what the reader makes of them. */

import assert from "node:assert/strict";
import { EMPTY_FILE, type Extent, type TarEntry } from "../../../../layers/tar/entry.ts";
import type { TarErrorCode, TarLimits } from "../../../../layers/tar/limits.ts";
import { TarReader } from "../../../../layers/tar/reader.ts";
import { dataBytesOf, END_OF_ARCHIVE, encodeEntry, paddingFor } from "../../../../layers/tar/writer.ts";
import { IntegrityError } from "../../../../src/errors.ts";

export interface ReadMember {
  readonly entry: TarEntry;
  /** The bytes that were delivered, in order. */
  readonly data: Buffer;
  /** Where they belong; neighbours are joined, so that the chunking does not show. */
  readonly runs: readonly Extent[];
}

/** Reads an archive in chunks of `chunkBytes`, checking the order of the handler's calls. */
export function readTar(archive: Buffer, chunkBytes = archive.length, limits?: TarLimits): ReadMember[] {
  const members: ReadMember[] = [];
  let open: { entry: TarEntry; data: Buffer[]; runs: Extent[] } | null = null;
  const reader = new TarReader(
    {
      entry(entry) {
        assert.equal(open, null, "an entry begins before the last has ended");
        open = { entry, data: [], runs: [] };
      },
      data(bytes, offset) {
        assert.ok(open !== null && bytes.length > 0);
        open.data.push(Buffer.from(bytes));
        const last = open.runs.at(-1);
        if (last !== undefined && last.offset + last.lengthBytes === offset) {
          open.runs[open.runs.length - 1] = { offset: last.offset, lengthBytes: last.lengthBytes + bytes.length };
        } else open.runs.push({ offset, lengthBytes: bytes.length });
      },
      end() {
        assert.ok(open !== null);
        members.push({ entry: open.entry, data: Buffer.concat(open.data), runs: open.runs });
        open = null;
      },
    },
    limits,
  );
  for (let at = 0; at < archive.length; at += chunkBytes) {
    // A copy that is overwritten afterwards: whoever keeps a reference to a chunk is found out.
    const chunk = Buffer.from(archive.subarray(at, at + chunkBytes));
    reader.push(chunk);
    chunk.fill(0xa5);
  }
  reader.finish();
  assert.equal(open, null, "the last entry has not ended");
  return members;
}

/** The only member of an archive. */
export function readOne(archive: Buffer): ReadMember {
  const [member, ...others] = readTar(archive);
  assert.ok(member !== undefined && others.length === 0, `${others.length} members too many`);
  return member;
}

/** Asserts that reading `archive` fails with `code`, whatever the chunking, and that the message matches. */
export function assertRefused(archive: Buffer, code: TarErrorCode, message: RegExp, limits?: TarLimits): void {
  for (const chunkBytes of [archive.length, 1]) {
    assert.throws(
      () => readTar(archive, chunkBytes, limits),
      (error) => {
        assert.ok(error instanceof IntegrityError, String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
        assert.match(error.message, /^Cannot read tar (entry "|header at byte \d+)/);
        return true;
      },
    );
  }
}

/** A plain file, changed by `changes`. */
export function entryOf(changes: Partial<TarEntry> = {}): TarEntry {
  return { ...EMPTY_FILE, path: "file", mode: 0o644, ...changes };
}

/** An archive as our writer makes it. */
export function writeTar(members: readonly { entry: TarEntry; data?: Buffer }[]): Buffer {
  const parts: Buffer[] = [];
  for (const { entry, data = Buffer.alloc(0) } of members) {
    assert.equal(data.length, dataBytesOf(entry), "a test gives the wrong number of bytes");
    parts.push(encodeEntry(entry), data, paddingFor(data.length));
  }
  return Buffer.concat([...parts, END_OF_ARCHIVE]);
}

export interface RawHeader {
  readonly name?: string;
  readonly mode?: string;
  readonly uid?: string;
  readonly gid?: string;
  readonly size?: string;
  readonly mtime?: string;
  readonly type?: string;
  readonly link?: string;
  /** "ustar\0" + "00" unless given. */
  readonly magic?: string;
  readonly major?: string;
  readonly minor?: string;
  readonly prefix?: string;
  /** Fields beyond those, by offset. */
  readonly extra?: Readonly<Record<number, string>>;
  /** Added to the right checksum. */
  readonly checksumError?: number;
  /** Sum the bytes as signed, as some old programs did. */
  readonly signed?: boolean;
}

/** A header block with exactly these (latin-1) field contents. */
export function header(fields: RawHeader = {}): Buffer {
  const block = Buffer.alloc(512);
  const at = (offset: number, text: string | undefined) => text !== undefined && block.write(text, offset, "latin1");
  at(0, fields.name ?? "file");
  at(100, fields.mode ?? "0000644\0");
  at(108, fields.uid ?? "0000000\0");
  at(116, fields.gid ?? "0000000\0");
  at(124, fields.size ?? "00000000000\0");
  at(136, fields.mtime ?? "00000000000\0");
  at(156, fields.type ?? "0");
  at(157, fields.link);
  at(257, fields.magic ?? "ustar\x0000");
  at(329, fields.major);
  at(337, fields.minor);
  at(345, fields.prefix);
  for (const [offset, text] of Object.entries(fields.extra ?? {})) at(Number(offset), text);
  block.fill(" ", 148, 156);
  let sum = fields.checksumError ?? 0;
  for (const byte of block) sum += fields.signed && byte > 127 ? byte - 256 : byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** `bytes` filled up to whole blocks. */
export function padded(bytes: Buffer | string): Buffer {
  const buffer = Buffer.from(bytes as string, "latin1");
  return Buffer.concat([buffer, paddingFor(buffer.length)]);
}

/** 11 octal digits. */
export function octal(value: number): string {
  return `${value.toString(8).padStart(11, "0")}\0`;
}

/** A PAX header ("x", or "g") of these records; keys may repeat. */
export function pax(records: readonly (readonly [string, string])[], type = "x"): Buffer {
  const body = records.map(([key, value]) => paxRecord(key, value)).join("");
  return rawPax(body, type);
}

/** A PAX header with exactly this body. */
export function rawPax(body: string, type = "x"): Buffer {
  return Buffer.concat([header({ name: "PaxHeaders/x", type, size: octal(body.length) }), padded(body)]);
}

function paxRecord(key: string, value: string): string {
  let length = 0;
  while (`${length} ${key}=${value}\n`.length !== length) length = `${length} ${key}=${value}\n`.length;
  return `${length} ${key}=${value}\n`;
}

/** Members, and the end of the archive. */
export function archive(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([...parts, END_OF_ARCHIVE]);
}
