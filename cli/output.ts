/**
 * What leaves the process: stdout is the result, stderr is talk. Written with plain system calls, because the streams of
 * `process.stdout` cost milliseconds to set up and lose what is pending when the process exits.
 */

import { writeSync } from "node:fs";
import { isErrno, isSystemError, UsageError, whileWriting } from "../src/errors.ts";
import { bytesOf, display, type LayerPath } from "../src/paths.ts";

export const STDOUT = 1;
export const STDERR = 2;

const PIECE_CHARACTERS = 64 * 1024;

/** Writes all of `text`. @throws Node's system error, `EPIPE` when the reader is gone */
export function write(fd: number, text: string): void {
  writeBytes(fd, Buffer.from(text, "utf8"));
}

/** Writes all of `text` to stderr. Where that takes nothing (a closed terminal), the work goes on: its exit code tells. */
export function tell(text: string): void {
  try {
    write(STDERR, text);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}

/** Writes all of `bytes`. @throws Node's system error */
export function writeBytes(fd: number, bytes: Buffer): void {
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(writeSome(fd, rest));
}

function writeSome(fd: number, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    if (!isErrno(error, "EAGAIN")) throw fd === STDOUT ? toStdout(error) : error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); // a full pipe that somebody made non-blocking
    return 0;
  }
}

/** What to throw for an error of writing to stdout. */
export function toStdout(error: unknown): unknown {
  return whileWriting("standard output", error);
}

/** Writes each line to stdout, in large pieces. */
export function printLines(lines: Iterable<string>): void {
  let piece = "";
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARACTERS) continue;
    write(STDOUT, piece);
    piece = "";
  }
  write(STDOUT, piece);
}

/** Writes a path as a line of its own, byte for byte: scripts use it. */
export function printPath(path: string): void {
  writeBytes(STDOUT, bytesOf(`${path}\n`));
}

/** Writes the one JSON document of a command. */
export function printDocument(document: object): void {
  write(STDOUT, `${JSON.stringify(document, jsonValue, 2)}\n`);
}

/** One line of JSON. */
export function jsonLine(document: object): string {
  return `${JSON.stringify(document, jsonValue)}\n`;
}

/** For JSON.stringify: what JSON has no form for, as text. */
function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

/** For --json where standard output takes something else. */
export function jsonBesideStream(): UsageError {
  return new UsageError("ERR_JSON_STREAM", "Cannot print JSON: standard output takes the archive; name a file with -o");
}

/** How a column is aligned. */
export type Align = "left" | "right";

/** The lines of a table: two spaces between columns, none at the end of a line. */
export function tableLines(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly Align[] = [],
): readonly string[] {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => all.reduce((most, row) => Math.max(most, widthOf(row[column] ?? "")), 0));
  return all.map((row) =>
    row
      .map((cell, column) => {
        const fill = " ".repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell)));
        return align[column] === "right" ? fill + cell : cell + fill;
      })
      .join("  ")
      .trimEnd(),
  );
}

/** What a terminal gives two cells (Unicode's East Asian Width W and F), and what none. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const ZERO = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** The cells that `text` takes on a terminal. */
function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += ZERO.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** Bytes for people, in powers of 1000 as docker and df -H do: "0 B", "999 B", "1.2 kB", "12.3 MB". */
export function formatSize(sizeBytes: number): string {
  let size = sizeBytes;
  let unit = 0;
  while (size >= 999.95 && unit < UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit]}`;
}

/** A point in time for people, in UTC: "2026-11-20 10:30:59". */
export function formatTime(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 19).replace("T", " ");
}

/**
 * The field `name` of a JSON document with a path: text, and beside it `nameBytes` with the bytes in base64 if they are
 * not UTF-8.
 */
export function pathFields(name: string, path: string): Readonly<Record<string, string>> {
  const bytes = bytesOf(path);
  const text = bytes.toString("utf8");
  if (Buffer.from(text, "utf8").equals(bytes)) return { [name]: text };
  return { [name]: text, [`${name}Bytes`]: bytes.toString("base64") };
}

/** A path in a tree for people, from the tree's root: "/etc/hosts", "/" for the root. */
export function treePath(path: LayerPath): string {
  return `/${display(path)}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** Text that came from outside, harmless to a terminal. */
export function safeText(text: string): string {
  return text.replace(CONTROL, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** A name or value as one word for a log line: in quotes if it has spaces. */
export function logWord(value: unknown): string {
  const text = typeof value === "string" ? safeText(value) : JSON.stringify(value, jsonValue);
  return /^[^\s"]+$/.test(text ?? "") ? text : JSON.stringify(text);
}
