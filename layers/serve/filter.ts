/**
 * containerd's filters (pkg/filters): `kind==active,labels."a.b"~=^x,parent`. A filter is selectors joined by ",", all of which
 * must hold; of several filters one must. A selector is a path of fields, and an operator with a value, or nothing: then the
 * field must be there.
 */

import { setFlagsFromString } from "node:v8";
import { UsageError } from "../../src/errors.ts";
import type { HeldSnapshotRow } from "../../src/meta/held-snapshots.ts";

export interface SnapshotFilter {
  readonly matches: (snapshot: HeldSnapshotRow) => boolean;
  /** Only snapshots directly on top of this one can match; null if that is not said. */
  readonly parent: string | null;
}

type Operator = "present" | "==" | "!=" | "~=";

interface Selector {
  readonly path: readonly string[];
  readonly operator: Operator;
  readonly value: string;
  readonly pattern: RegExp | null;
}

/** Any of `texts`; none, or an empty one, takes all. @throws {UsageError} `ERR_SNAPSHOT_FILTER` */
export function parseFilters(texts: readonly string[]): SnapshotFilter {
  if (texts.length === 0 || texts.includes("")) return { matches: () => true, parent: null };
  const filters = texts.map((text) => new Parser(text).selectors());
  const [first = []] = filters;
  const parent =
    filters.length === 1 ? first.find(({ path, operator }) => isParent(path) && operator === "==") : undefined;
  return {
    matches: (snapshot) => filters.some((selectors) => selectors.every((selector) => holds(selector, snapshot))),
    parent: parent === undefined || parent.value === "" ? null : parent.value,
  };
}

function isParent(path: readonly string[]): boolean {
  return path.length === 1 && path[0] === "parent";
}

/** A field that is not there is as an empty one for "!=" and "~=". */
function holds({ path, operator, value, pattern }: Selector, snapshot: HeldSnapshotRow): boolean {
  const field = fieldOf(snapshot, path);
  switch (operator) {
    case "present":
      return field !== null;
    case "==":
      return field === value;
    case "!=":
      return field !== value;
    case "~=":
      return pattern?.test(field ?? "") ?? false;
  }
}

function fieldOf({ name, kind, parent, labels }: HeldSnapshotRow, [first, ...rest]: readonly string[]): string | null {
  switch (first) {
    case "name":
      return name;
    case "kind":
      return kind;
    case "parent":
      return parent?.name ?? "";
    case "labels": {
      const key = rest.join(".");
      return Object.hasOwn(labels, key) ? (labels[key] ?? null) : null;
    }
    default:
      return null;
  }
}

const SPACE = /\s*/y;
const FIELD = /[A-Za-z0-9_]+/y;
const QUOTED = /"(?:[^"\\\n]|\\.)*"/y;
/** After "~=" a pattern may stand between these too, so that it needs fewer backslashes. */
const OTHER_QUOTED = /\/(?:[^/\\\n]|\\.)*\/|\|(?:[^|\\\n]|\\.)*\|/y;
const OPERATOR = /[=!~]+/y;
const VALUE = /[^\s,"/|][^\s,]*/y;

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  selectors(): readonly Selector[] {
    const selectors = [this.#selector()];
    while (this.#take(/,/y) !== null) selectors.push(this.#selector());
    this.#take(SPACE);
    if (this.#at < this.#text.length) throw this.#wrong('expected ",", an operator or the end');
    return selectors;
  }

  #selector(): Selector {
    const path = [this.#field()];
    while (this.#take(/\./y) !== null) path.push(this.#field());
    const operator = this.#take(OPERATOR);
    if (operator === null) return { path, operator: "present", value: "", pattern: null };
    if (operator !== "==" && operator !== "!=" && operator !== "~=") {
      throw this.#wrong(`"${operator}" is no operator; there are "==", "!=" and "~="`);
    }
    const value = this.#value(operator);
    return { path, operator, value, pattern: operator === "~=" ? this.#pattern(value) : null };
  }

  #field(): string {
    const field = this.#take(FIELD);
    if (field !== null) return field;
    const quoted = this.#take(QUOTED);
    if (quoted === null) throw this.#wrong("expected a field");
    return this.#unquote(quoted);
  }

  #value(operator: Operator): string {
    const quoted = this.#take(QUOTED) ?? (operator === "~=" ? this.#take(OTHER_QUOTED) : null);
    if (quoted !== null) return this.#unquote(quoted);
    const value = this.#take(VALUE);
    if (value === null) throw this.#wrong("expected a value");
    return value;
  }

  /** Run by V8's engine that does not backtrack (flag "l"), as Go's does not: a hostile pattern cannot stop the server. */
  #pattern(text: string): RegExp {
    setFlagsFromString("--enable-experimental-regexp-engine");
    try {
      return new RegExp(text, "l");
    } catch (error) {
      throw this.#wrong(error instanceof Error ? error.message : String(error));
    }
  }

  #take(pattern: RegExp): string | null {
    if (pattern !== SPACE) this.#take(SPACE);
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return null;
    this.#at = pattern.lastIndex;
    return match[0];
  }

  /** Go's escapes in a string (strconv.Unquote). */
  #unquote(quoted: string): string {
    return quoted
      .slice(1, -1)
      .replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs, (_, code) =>
        this.#unescape(code as string, quoted[0] ?? ""),
      );
  }

  #unescape(code: string, quote: string): string {
    const simple = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" }[code];
    if (simple !== undefined) return simple;
    if (code === "\\" || code === quote) return code;
    if (/^[0-7]{3}$/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    const point = Number.parseInt(code.slice(1), 16);
    if (code.length > 1 && point <= 0x10ffff) return String.fromCodePoint(point);
    throw this.#wrong(`"\\${code}" is no escape`);
  }

  #wrong(why: string): UsageError {
    const message = `Cannot use filter ${JSON.stringify(this.#text.slice(0, 200))}: at character ${this.#at + 1}: ${why}`;
    return new UsageError("ERR_SNAPSHOT_FILTER", message, { data: { filter: this.#text.slice(0, 200) } });
  }
}
