/**
 * Names are bytes, but node decodes its arguments and environment as UTF-8 and replaces what is not by U+FFFD. The bytes
 * are still in /proc/self: here they become text in which a byte that is not UTF-8 is a lone surrogate U+DC80–U+DCFF,
 * which passes through an option parser unchanged and which `hostPath` turns back into that byte.
 */

import { readFileSync } from "node:fs";

const REPLACEMENT = "\ufffd";
const ESCAPE_BASE = 0xdc00;

/** The arguments after the script's name, lossless. `commandLine` reads what the kernel holds (/proc/self/cmdline). */
export function argumentTexts(
  argv: readonly string[] = process.argv,
  commandLine: () => Buffer = () => readFileSync("/proc/self/cmdline"),
): readonly string[] {
  const decoded = argv.slice(2);
  if (!decoded.some((argument) => argument.includes(REPLACEMENT))) return decoded;
  const raw = splitNul(commandLine());
  return raw.slice(raw.length - decoded.length).map(escapedText);
}

/** The value of an environment variable, lossless; undefined if it is unset or empty. */
export function environmentText(
  name: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
  block: () => Buffer = () => readFileSync("/proc/self/environ"),
): string | undefined {
  const value = environment[name];
  if (value === undefined || value === "") return undefined;
  if (!value.includes(REPLACEMENT)) return value;
  const prefix = `${name}=`;
  const raw = splitNul(block()).find((entry) => entry.toString("latin1").startsWith(prefix));
  return raw === undefined ? value : escapedText(raw.subarray(prefix.length));
}

function splitNul(bytes: Buffer): readonly Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    const stop = end < 0 ? bytes.length : end;
    parts.push(bytes.subarray(at, stop));
    at = stop + 1;
  }
  return parts;
}

/** UTF-8 where it is valid, escapes elsewhere. */
function escapedText(bytes: Buffer): string {
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
