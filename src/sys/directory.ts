/** Directory listings with names as byte strings. */

import { type Dirent, readdirSync } from "node:fs";
import { bytesOf, type HostPath } from "../paths.ts";

/** What a directory entry is, from its `d_type`. */
export type FileKind = "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";

export interface DirectoryEntry {
  readonly name: string;
  readonly kind: FileKind;
}

/** The entries of a directory, sorted by bytes, without "." and "..". @throws Node's system error */
export function listDirectory(path: HostPath): readonly DirectoryEntry[] {
  const entries = readdirSync(bytesOf(path), {
    withFileTypes: true,
    encoding: "latin1",
  }) as unknown as Dirent<string>[];
  return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function kindOf(entry: Dirent<string>): FileKind {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "directory";
  if (entry.isSymbolicLink()) return "symlink";
  if (entry.isCharacterDevice()) return "character";
  if (entry.isBlockDevice()) return "block";
  return entry.isFIFO() ? "fifo" : "socket";
}
