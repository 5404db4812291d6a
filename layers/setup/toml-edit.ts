/**
 * Changes a TOML file of somebody else's by lines, so that comments and order stay: what we add is between two marks, and
 * a line that it replaces waits there, commented out. `withoutMarks` gives back what was there before, byte for byte.
 */

import { parse, TomlError } from "smol-toml";
import { IntegrityError } from "../../src/errors.ts";
import { display, type HostPath } from "../../src/paths.ts";

const BEGIN = "# layerctl setup: begin";
const END = "# layerctl setup: end";
/** Before a line that was replaced. */
const KEPT = "#| ";

/** A parsed table. */
export type TomlTable = Readonly<Record<string, unknown>>;

/** @throws {IntegrityError} `ERR_CONFIG_FILE` naming the line */
export function parseToml(text: string, path: HostPath): TomlTable {
  try {
    return parse(text) as TomlTable;
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const state = `line ${error.line}: ${error.message.split("\n")[0]}`;
    throw new IntegrityError("ERR_CONFIG_FILE", `Cannot read "${display(path)}": ${state}`, { data: { path } });
  }
}

/** What is at `keys`; undefined where nothing is. */
export function valueAt(table: TomlTable, keys: readonly string[]): unknown {
  let value: unknown = table;
  for (const key of keys) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as TomlTable)[key];
  }
  return value;
}

/** The file with `added` at its end. */
export function withLines(text: string, added: readonly string[]): string {
  const lines = text.split("\n");
  return withBlock(lines, lines.at(-1) === "" ? lines.length - 1 : lines.length, 0, added);
}

/**
 * The file with `line`, which sets `key`, in the table called `table`, in place of the line or lines that set it now. The
 * table is made at the end if there is none. Dotted and quoted spellings are not found: check what comes out.
 */
export function withKey(text: string, table: string, key: string, line: string): string {
  const lines = text.split("\n");
  const header = lines.findIndex((each) => headerOf(each) === table);
  if (header < 0) return withLines(text, [`[${table}]`, line]);
  const next = lines.findIndex((each, index) => index > header && headerOf(each) !== null);
  const last = next < 0 ? lines.length : next;
  const start = lines.findIndex((each, index) => index > header && index < last && startsKey(each, key));
  if (start < 0) return withBlock(lines, header + 1, 0, [line]);
  const replaced = lines.slice(start, endOfValue(lines, start));
  return withBlock(lines, start, replaced.length, [...replaced.map((each) => KEPT + each), line]);
}

/** `lines` with marked ones in place of `count` at `at`. */
function withBlock(lines: readonly string[], at: number, count: number, added: readonly string[]): string {
  return [...lines.slice(0, at), BEGIN, ...added, END, ...lines.slice(at + count)].join("\n");
}

/** The file as it was before anything was added. */
export function withoutMarks(text: string): string {
  const kept: string[] = [];
  let isInside = false;
  for (const line of text.split("\n")) {
    if (line === BEGIN) isInside = true;
    else if (line === END) isInside = false;
    else if (!isInside) kept.push(line);
    else if (line.startsWith(KEPT)) kept.push(line.slice(KEPT.length));
  }
  return kept.join("\n");
}

/** The name in a line like "[storage.options] # comment"; "" for a header that is none of ours; null for other lines. */
function headerOf(line: string): string | null {
  if (!/^\s*\[/.test(line)) return null;
  return /^\s*\[\s*([A-Za-z0-9_.-]+)\s*\]\s*(?:#.*)?$/.exec(line)?.[1] ?? "";
}

function startsKey(line: string, key: string): boolean {
  return new RegExp(`^\\s*${key}\\s*=`).test(line);
}

/** The index after the last line of the value that begins at `start`: the first at which what there is can be parsed. */
function endOfValue(lines: readonly string[], start: number): number {
  for (let end = start + 1; end <= lines.length; end++) {
    try {
      parse(lines.slice(start, end).join("\n"));
      return end;
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
    }
  }
  return start + 1;
}
