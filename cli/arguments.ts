/**
 * Names are bytes, but node decodes its arguments and environment as UTF-8 and replaces what is not by U+FFFD. The bytes
 * are still in /proc/self: here they become text in which a byte that is not UTF-8 is a lone surrogate U+DC80–U+DCFF,
 * which passes through an option parser unchanged and which `hostPath` turns back into that byte.
 */

import { readFileSync } from "node:fs";
import { REPLACEMENT, textOfBytes } from "../src/paths.ts";

/** The arguments after the script's name, lossless. `commandLine` reads what the kernel holds (/proc/self/cmdline). */
export function argumentTexts(
  argv: readonly string[] = process.argv,
  commandLine: () => Buffer = () => readFileSync("/proc/self/cmdline"),
): readonly string[] {
  const decoded = argv.slice(2);
  if (!decoded.some((argument) => argument.includes(REPLACEMENT))) return decoded;
  const raw = splitNul(commandLine());
  return raw.slice(raw.length - decoded.length).map(textOfBytes);
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
  return raw === undefined ? value : textOfBytes(raw.subarray(prefix.length));
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
