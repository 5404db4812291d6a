/** A change of another program's configuration file: shown, made, or taken back. */

import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { ConflictError, IntegrityError, isErrno } from "../../src/errors.ts";
import { bytesOf, display, type HostPath } from "../../src/paths.ts";
import { replaceFile } from "../../src/sys/replace-file.ts";
import { parseToml, valueAt, withoutMarks } from "./toml-edit.ts";

/** What a file is to say. */
export interface ConfigChange {
  readonly path: HostPath;
  /** What is to be added, for who does it by hand. */
  readonly wanted: string;
  /** The file as it is to be; null to remove it, since it holds nothing but what we wrote. */
  readonly content: string | null;
}

/** A value that must be there when the change is made. */
export interface Expected {
  readonly keys: readonly string[];
  readonly value: unknown;
}

/** The content, or null if there is no such file. @throws a system error */
export function readConfig(path: HostPath): string | null {
  try {
    return readFileSync(bytesOf(path), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}

/**
 * @throws {ConflictError} `ERR_CONFIG_FILE` if the changed file would not say what is expected: it sets the key in a way
 * that cannot be changed by lines
 */
export function checkChange({ path, content, wanted }: ConfigChange, expected: readonly Expected[]): void {
  if (content !== null && says(content, path, expected)) return;
  const state = `it sets the same in a way that cannot be changed line by line; add by hand:\n${wanted}`;
  throw new ConflictError("ERR_CONFIG_FILE", `Cannot change "${display(path)}": ${state}`, { data: { path } });
}

function says(content: string, path: HostPath, expected: readonly Expected[]): boolean {
  try {
    const table = parseToml(content, path);
    return expected.every(({ keys, value }) => JSON.stringify(valueAt(table, keys)) === JSON.stringify(value));
  } catch (error) {
    if (error instanceof IntegrityError) return false; // a key twice
    throw error;
  }
}

/** Makes the change, whole or not at all; the file keeps its mode. @throws a system error */
export function writeConfig({ path, content }: ConfigChange): void {
  if (content === null) {
    rmSync(bytesOf(path), { force: true });
    return;
  }
  mkdirSync(bytesOf(path.slice(0, path.lastIndexOf("/")) || "/"), { recursive: true });
  const mode = statSync(bytesOf(path), { throwIfNoEntry: false })?.mode ?? 0o644;
  replaceFile(path, content, mode & 0o777);
}

/** The file without what we added, removed if nothing else is in it; null if we added nothing. */
export function undoneConfig(path: HostPath): ConfigChange | null {
  const content = readConfig(path);
  const rest = content === null ? null : withoutMarks(content);
  if (rest === null || rest === content) return null;
  return { path, wanted: "", content: rest.trim() === "" ? null : rest };
}
