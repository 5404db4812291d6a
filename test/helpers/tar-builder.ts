/**
 * Builds tar archives block by block, the well-formed and every kind of malformed one. It is the oracle of the tests and
 * shares nothing with layers/tar: a mistake in one of the two shows as a difference. Formats: POSIX.1-2017 pax, "ustar
 * Interchange Format"; GNU tar's src/tar.h; libarchive's tar(5). Names are latin-1 byte strings.
 */

const BLOCK = 512;

/** The fields of one header. What is absent gets a plain value; `raw` overwrites bytes last, the checksum excepted. */
export interface HeaderFields {
  readonly name: string;
  /** The typeflag character: "0" file, "1" hard link, "2" symlink, "3" character, "4" block, "5" directory, "6" fifo. */
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number | bigint;
  readonly gid?: number | bigint;
  readonly size?: number | bigint;
  readonly mtime?: number | bigint;
  readonly linkName?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
  readonly prefix?: string;
  /** "ustar" unless given; "gnu" is `ustar  \0`; "v7" has no magic at all. */
  readonly magic?: "ustar" | "gnu" | "v7";
  /** Bytes to put at offsets after everything else. The checksum covers them. */
  readonly raw?: readonly (readonly [offset: number, bytes: Uint8Array])[];
  /** A checksum to write in place of the right one. */
  readonly checksum?: number;
}

/** One header block. A number that does not fit its octal field is written in base-256. */
export function header(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(fields.name.slice(0, 100), 0, "latin1");
  numeric(block, 100, 8, fields.mode ?? 0o644);
  numeric(block, 108, 8, fields.uid ?? 0);
  numeric(block, 116, 8, fields.gid ?? 0);
  numeric(block, 124, 12, fields.size ?? 0);
  numeric(block, 136, 12, fields.mtime ?? 1_700_000_000);
  block.write(fields.type ?? "0", 156, "latin1");
  block.write((fields.linkName ?? "").slice(0, 100), 157, "latin1");
  if (fields.magic === "gnu") block.write("ustar  \0", 257, "latin1");
  else if (fields.magic !== "v7") block.write("ustar\x0000", 257, "latin1");
  if (fields.magic !== "v7") {
    numeric(block, 329, 8, fields.devMajor ?? 0);
    numeric(block, 337, 8, fields.devMinor ?? 0);
  }
  block.write((fields.prefix ?? "").slice(0, 155), 345, "latin1");
  for (const [offset, bytes] of fields.raw ?? []) block.set(bytes, offset);
  block.fill(" ", 148, 156);
  const sum = fields.checksum ?? block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function numeric(block: Buffer, offset: number, length: number, value: number | bigint): void {
  const octal = value.toString(8);
  if (value >= 0 && octal.length < length) block.write(`${octal.padStart(length - 1, "0")}\0`, offset, "latin1");
  else block.set(base256(value, length), offset);
}

/** A number in GNU's base-256 form: two's complement, most significant first, the top bit of the first byte set. */
export function base256(value: number | bigint, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let rest = BigInt.asUintN(length * 8, BigInt(value));
  for (let at = length - 1; at >= 0; at--) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

/** `bytes` and the zeros up to the next block boundary. */
export function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

/** A header and its content, padded. The size in the header is the content's, unless `fields` names another. */
export function member(fields: HeaderFields, content: string | Uint8Array = ""): Buffer {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  return Buffer.concat([header({ size: bytes.length, ...fields }), padded(bytes)]);
}

export const file = (name: string, content: string | Uint8Array = "", fields: Partial<HeaderFields> = {}): Buffer =>
  member({ name, ...fields }, content);
export const directory = (name: string, fields: Partial<HeaderFields> = {}): Buffer =>
  header({ name, type: "5", mode: 0o755, ...fields });
export const symlink = (name: string, linkName: string, fields: Partial<HeaderFields> = {}): Buffer =>
  header({ name, type: "2", mode: 0o777, linkName, ...fields });
export const hardlink = (name: string, linkName: string, fields: Partial<HeaderFields> = {}): Buffer =>
  header({ name, type: "1", linkName, ...fields });
export const device = (name: string, type: "3" | "4", devMajor: number, devMinor: number): Buffer =>
  header({ name, type, devMajor, devMinor });

/** One pax record with its true length, which counts its own digits. */
export function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : Buffer.from(value);
  const body = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), bytes, Buffer.from("\n")]);
  let length = body.length;
  while (`${length}`.length + body.length !== length) length = `${length}`.length + body.length;
  return Buffer.concat([Buffer.from(`${length}`), body]);
}

/** An extended header ("x", or "g" for a global one) of these records; a Buffer stands for records as they are. */
export function pax(
  records: Readonly<Record<string, string | Uint8Array>> | Buffer,
  fields: Partial<HeaderFields> = {},
): Buffer {
  const body = Buffer.isBuffer(records)
    ? records
    : Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)));
  return member({ name: "./PaxHeaders/x", type: "x", ...fields }, body);
}

/** GNU's long name ("L") or long link target ("K") for the member that follows. */
export function gnuLong(type: "L" | "K", name: string): Buffer {
  return member({ name: "././@LongLink", type, magic: "gnu", mode: 0 }, `${name}\0`);
}

/** A run of data of a sparse file: where it starts and what it holds. */
export interface SparseRun {
  readonly offset: number;
  readonly data: string;
}

/** A file in GNU's old sparse format (typeflag "S"): four runs in the header, 21 in each extension block. */
export function gnuSparse(
  name: string,
  realSize: number,
  runs: readonly SparseRun[],
  fields: Partial<HeaderFields> = {},
): Buffer {
  const pair = (run: SparseRun | undefined): Buffer => {
    const bytes = Buffer.alloc(24);
    if (run !== undefined) bytes.write(`${octal11(run.offset)}\0${octal11(run.data.length)}\0`, 0, "latin1");
    return bytes;
  };
  const raw: [number, Buffer][] = runs.slice(0, 4).map((run, at) => [386 + at * 24, pair(run)]);
  raw.push([482, Buffer.from([runs.length > 4 ? 1 : 0])], [483, Buffer.from(`${octal11(realSize)}\0`)]);
  const extensions: Buffer[] = [];
  for (let at = 4; at < runs.length; at += 21) {
    const block = Buffer.alloc(BLOCK);
    runs.slice(at, at + 21).forEach((run, index) => {
      block.set(pair(run), index * 24);
    });
    block[504] = runs.length > at + 21 ? 1 : 0;
    extensions.push(block);
  }
  const data = Buffer.from(runs.map((run) => run.data).join(""), "latin1");
  const top = header({ name, type: "S", magic: "gnu", size: data.length, raw, ...fields });
  return Buffer.concat([top, ...extensions, padded(data)]);
}

const octal11 = (value: number): string => value.toString(8).padStart(11, "0");

/** A file in GNU's pax sparse format 0.0, 0.1 or 1.0. */
export function paxSparse(
  version: "0.0" | "0.1" | "1.0",
  name: string,
  realSize: number,
  runs: readonly SparseRun[],
): Buffer {
  const data = runs.map((run) => run.data).join("");
  const numbers = runs.flatMap((run) => [run.offset, run.data.length]);
  if (version === "0.0") {
    const records = runs.flatMap((run) => [
      paxRecord("GNU.sparse.offset", `${run.offset}`),
      paxRecord("GNU.sparse.numbytes", `${run.data.length}`),
    ]);
    const count = [paxRecord("GNU.sparse.size", `${realSize}`), paxRecord("GNU.sparse.numblocks", `${runs.length}`)];
    return Buffer.concat([pax(Buffer.concat([...count, ...records])), file(name, data)]);
  }
  if (version === "0.1") {
    const records = {
      "GNU.sparse.size": `${realSize}`,
      "GNU.sparse.numblocks": `${runs.length}`,
      "GNU.sparse.name": name,
      "GNU.sparse.map": numbers.join(","),
    };
    return Buffer.concat([pax(records), file(`./GNUSparseFile.1/${name.slice(0, 50)}`, data)]);
  }
  const records = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": name,
    "GNU.sparse.realsize": `${realSize}`,
  };
  const map = padded(Buffer.from(`${[runs.length, ...numbers].join("\n")}\n`));
  const content = Buffer.concat([map, Buffer.from(data, "latin1")]);
  return Buffer.concat([pax(records), file(`./GNUSparseFile.1/${name.slice(0, 50)}`, content)]);
}

/** Two blocks of zeros. */
export const END = Buffer.alloc(2 * BLOCK);

/** The members one after the other, and the end of the archive. */
export function tar(...members: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...members, END]);
}
