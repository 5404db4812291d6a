/**
 * JSON from archives and registries (RFC 8259), read as hostile input: bounded in size and depth before it is parsed,
 * and every value asked for by its type, so that what is wrong is named by its path ("manifest.layers[2].size").
 */

import { type Digest, parseDigest } from "../../src/digest.ts";
import { IntegrityError } from "../../src/errors.ts";

/** The fields of a JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** How deep objects and arrays may be nested. Real documents reach 7. */
const DEPTH_LIMIT = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Parses a document. `name` is what messages call it ("manifest").
 * @throws {IntegrityError} `ERR_JSON_SIZE`, `ERR_JSON_DEPTH` or `ERR_JSON_SYNTAX`
 */
export function parseJson(bytes: Uint8Array, name: string, limitBytes: number): JsonNode {
  checkJsonSize(bytes.length, name, limitBytes);
  if (depthOf(bytes) > DEPTH_LIMIT) {
    throw invalid("ERR_JSON_DEPTH", name, `it is nested more than ${DEPTH_LIMIT} levels deep`);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return new JsonNode(JSON.parse(text), name, name);
  } catch (error) {
    throw invalid("ERR_JSON_SYNTAX", name, "it is not JSON in UTF-8", error);
  }
}

/** Refuses a document by its size, before it is read. @throws {IntegrityError} `ERR_JSON_SIZE` */
export function checkJsonSize(sizeBytes: number, name: string, limitBytes: number): void {
  if (sizeBytes <= limitBytes) return;
  throw invalid("ERR_JSON_SIZE", name, `it is ${sizeBytes} bytes long, the most is ${limitBytes}`);
}

/** The deepest nesting, told from the brackets outside strings: the parser itself recurses. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === 0x5b || byte === 0x7b) {
      depth++;
      if (depth > deepest) deepest = depth;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return deepest;
}

function invalid(code: string, name: string, why: string, cause?: unknown): IntegrityError {
  return new IntegrityError(code, `Cannot use the ${name}: ${why}`, { data: { document: name }, cause });
}

/** A value inside a document, with its path there. Absent and null are the same: Go writes null for what is empty. */
export class JsonNode {
  readonly value: unknown;
  /** Begins with the document's name. */
  readonly path: string;
  readonly #document: string;

  constructor(value: unknown, path: string, document: string) {
    this.value = value;
    this.path = path;
    this.#document = document;
  }

  get isAbsent(): boolean {
    return this.value === undefined || this.value === null;
  }

  /** @throws {IntegrityError} `ERR_JSON_TYPE`, as everything below */
  object(): JsonObject {
    if (typeof this.value !== "object" || this.value === null || Array.isArray(this.value)) this.refuse("an object");
    return this.value as JsonObject;
  }

  /** The value at `name`, absent if this object has no such field of its own. */
  field(name: string): JsonNode {
    const object = this.object();
    return new JsonNode(Object.hasOwn(object, name) ? object[name] : undefined, `${this.path}.${name}`, this.#document);
  }

  /** The elements of an array; none if it is absent. */
  items(): readonly JsonNode[] {
    if (this.isAbsent) return [];
    if (!Array.isArray(this.value)) this.refuse("an array");
    return this.value.map((item, index) => new JsonNode(item, `${this.path}[${index}]`, this.#document));
  }

  string(): string {
    return typeof this.value === "string" ? this.value : this.refuse("a string");
  }

  optionalString(): string | undefined {
    return this.isAbsent ? undefined : this.string();
  }

  strings(): readonly string[] {
    return this.items().map((item) => item.string());
  }

  optionalBoolean(): boolean | undefined {
    if (this.isAbsent) return undefined;
    return typeof this.value === "boolean" ? this.value : this.refuse("true or false");
  }

  /** An integer from 0 to 2^53 - 1. */
  size(): number {
    const value = this.value;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    return this.refuse("an integer ≥ 0");
  }

  /** @throws {IntegrityError} `ERR_JSON_TYPE`, or `ERR_DIGEST_FORMAT` */
  digest(): Digest {
    return parseDigest(this.string());
  }

  /** An object whose values are all strings. */
  stringMap(): Readonly<Record<string, string>> {
    for (const key of Object.keys(this.object())) this.field(key).string();
    return this.value as Readonly<Record<string, string>>;
  }

  /** @throws {IntegrityError} `ERR_JSON_TYPE`, always */
  refuse(expected: string): never {
    const why = `${this.path}: expected ${expected}, found ${describe(this.value)}`;
    throw new IntegrityError("ERR_JSON_TYPE", `Cannot use the ${this.#document}: ${why}`, {
      data: { path: this.path },
    });
  }
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number" ? `the number ${value}` : typeof value;
}
