/**
 * Paths are bytes. A byte string is a JavaScript string whose characters are the bytes 0–255 (latin-1), so names that
 * are not UTF-8 survive, `<` sorts by bytes, and a Map key is cheap. The brands keep the two kinds of path, and text
 * meant for people, from being mixed up; only the functions here cast.
 */

import { IntegrityError } from "./errors.ts";

declare const hostPathBrand: unique symbol;
declare const layerPathBrand: unique symbol;

/** A path on this machine, as bytes. Hand it to `node:fs` through `bytesOf`. */
export type HostPath = string & { readonly [hostPathBrand]: true };

/**
 * A path inside a layer or a merged tree, as bytes: relative, components joined by one "/", none of them empty, "." or
 * "..", no NUL. The root is "".
 */
export type LayerPath = string & { readonly [layerPathBrand]: true };

/** The root of a layer or merged tree. */
export const ROOT = "" as LayerPath;

/** The longest name a Linux file system takes, in bytes. */
export const NAME_MAX = 255;
/** What begins the name of a whiteout in a layer tar (image-spec, layer.md, "Whiteouts"). */
export const WHITEOUT_PREFIX = ".wh.";
/** The longest path a system call takes, in bytes, without its NUL. */
export const PATH_MAX = 4095;

const LONE_ESCAPE = /[\udc80-\udcff]/u;
const ESCAPE_BASE = 0xdc00;
/** What a decoder gives for bytes that are not UTF-8. */
export const REPLACEMENT = "\ufffd";

/**
 * Text to a host path: its UTF-8, and for each lone surrogate U+DC80–U+DCFF the byte 0x80–0xFF that it stands for (as in
 * Python's "surrogateescape"), so that text can name every path. The command line's arguments are such text.
 */
export function hostPath(text: string): HostPath {
  if (!LONE_ESCAPE.test(text)) return Buffer.from(text, "utf8").toString("latin1") as HostPath;
  let path = "";
  for (const character of text) {
    path += LONE_ESCAPE.test(character)
      ? String.fromCharCode(character.charCodeAt(0) & 0xff)
      : Buffer.from(character, "utf8").toString("latin1");
  }
  return path as HostPath;
}

/** The text that `hostPath` turns into these bytes: UTF-8 where it is valid, lone surrogates elsewhere. */
export function textOfBytes(bytes: Buffer): string {
  const decoded = bytes.toString("utf8");
  if (!decoded.includes(REPLACEMENT)) return decoded;
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    if (length === 0) text += String.fromCharCode(ESCAPE_BASE + (bytes[at] ?? 0));
    else text += bytes.toString("utf8", at, at + length);
    at += length || 1;
  }
  return text;
}

/** The length of the valid UTF-8 sequence at `at`, or 0 if there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  const length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length < 2) return length;
  const decoded = bytes.toString("utf8", at, at + length);
  return decoded.includes(REPLACEMENT) && !bytes.subarray(at, at + 3).equals(Buffer.from(REPLACEMENT)) ? 0 : length;
}

/**
 * The bytes of a path given as text, for `node:fs`: its UTF-8, and for each lone surrogate U+DC80–U+DCFF the byte 0x80–0xFF
 * that it stands for. Only such text can name every file.
 */
export function pathBytes(text: string): Buffer {
  return bytesOf(hostPath(text));
}

/** Bytes, as a directory listing or a system call gives them, to a host path. */
export function hostPathOfBytes(bytes: Uint8Array): HostPath {
  return byteString(bytes) as HostPath;
}

/** `base` and then each of `names` below it. Names are byte strings. */
export function joinHost(base: HostPath, ...names: readonly string[]): HostPath {
  let path: string = base;
  for (const name of names) if (name !== "") path = path.endsWith("/") ? path + name : `${path}/${name}`;
  return path as HostPath;
}

/** The bytes of a path or byte string, for `node:fs`. */
export function bytesOf(path: string): Buffer {
  return Buffer.from(path, "latin1");
}

/** Bytes to a byte string. */
export function byteString(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\\]/g;

/**
 * A byte string as text for people: UTF-8 where it is, with control characters and bytes that are not UTF-8 as `\xNN`
 * (and a backslash as `\\`), so that nothing a hostile name holds reaches a terminal.
 */
export function display(bytes: string): string {
  if (/^[\x20-\x5b\x5d-\x7e]*$/.test(bytes)) return bytes;
  try {
    return decoder
      .decode(bytesOf(bytes))
      .replace(UNPRINTABLE, (character) => bytesFromText(character).replace(/./gs, escapeByte));
  } catch {
    return bytes.replace(/[^\x20-\x5b\x5d-\x7e]/g, escapeByte);
  }
}

/** `character` is a byte. */
function escapeByte(character: string): string {
  if (character === "\\") return "\\\\";
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

/** The byte string of some text (UTF-8). */
export function bytesFromText(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/**
 * Parses a path found in an archive: "./" prefixes, doubled and trailing slashes are folded away.
 * A whiteout may hide any name: one of 255 bytes makes a component of 259, which no file system has to hold. Its path
 * is as much longer.
 * @throws {IntegrityError} `ERR_PATH_UNSAFE` if it is absolute, has a ".." or a NUL, a component over 255 bytes, or over 4,095 in all.
 */
export function parseLayerPath(raw: string): LayerPath {
  if (!raw.includes("//") && !raw.includes(".") && raw.length <= NAME_MAX && !raw.includes("\0") && raw[0] !== "/") {
    return (raw.endsWith("/") ? raw.slice(0, -1) : raw) as LayerPath; // the common case, without splitting
  }
  if (raw.startsWith("/")) throw unsafe(raw, "it is absolute");
  if (raw.length > 2 * PATH_MAX) throw tooLong(raw, raw.length); // whatever is folded away
  if (raw.includes("\0")) throw unsafe(raw, "it contains a NUL byte");
  const parts: string[] = [];
  for (const part of raw.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") throw unsafe(raw, 'it contains ".."');
    const most = part.startsWith(WHITEOUT_PREFIX) ? NAME_MAX + WHITEOUT_PREFIX.length : NAME_MAX;
    if (part.length > most) throw unsafe(raw, `a name in it is ${part.length} bytes long, the most is ${most}`);
    parts.push(part);
  }
  const path = parts.join("/") as LayerPath;
  const isWhiteout = parts.at(-1)?.startsWith(WHITEOUT_PREFIX) === true;
  if (path.length > PATH_MAX + (isWhiteout ? WHITEOUT_PREFIX.length : 0)) throw tooLong(raw, path.length);
  return path;
}

function tooLong(raw: string, bytes: number): IntegrityError {
  return unsafe(raw, `it is ${bytes} bytes long, the most is ${PATH_MAX}`);
}

function unsafe(raw: string, why: string): IntegrityError {
  const path = display(raw.length > 300 ? `${raw.slice(0, 300)}…` : raw);
  return new IntegrityError("ERR_PATH_UNSAFE", `Cannot use path "${path}": ${why}`, { data: { path } });
}

/** The path of `name` in directory `parent`. `name` must be a single valid component. */
export function childPath(parent: LayerPath, name: string): LayerPath {
  return (parent === "" ? name : `${parent}/${name}`) as LayerPath;
}

/** The directory a path is in; the root is its own parent. */
export function parentPath(path: LayerPath): LayerPath {
  const slash = path.lastIndexOf("/");
  return (slash < 0 ? "" : path.slice(0, slash)) as LayerPath;
}

/** The last component; "" for the root. */
export function baseName(path: LayerPath): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
