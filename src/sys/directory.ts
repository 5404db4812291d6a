/** Directory listings with names as byte strings. */

import { type Dirent, lstatSync, readdirSync, type Stats } from "node:fs";
import { bytesOf, type HostPath, hostPath, joinHost, NAME_MAX, PATH_MAX } from "../paths.ts";
import { forEachDirent } from "./dirents.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, O_RDONLY, openAt } from "./file.ts";
import { type Stat, statAtOrNull } from "./stat.ts";
import { hasXattrsAt } from "./xattr.ts";

/** What a directory entry is, from its `d_type`. */
export type FileKind = "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";

/** With room for an entry's name, which is looked up by path where the file system does not tell types. */
const LONGEST = PATH_MAX - NAME_MAX - 1;

export interface DirectoryEntry {
  readonly name: string;
  readonly kind: FileKind;
}

/**
 * The entries of a directory, sorted by bytes, without "." and "..". `path` may be of any length.
 * @throws Node's system error
 */
export function listDirectory(path: HostPath): readonly DirectoryEntry[] {
  if (path.length > LONGEST) {
    const fd = openAt(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    try {
      return listDirectory(hostPath(`/proc/self/fd/${fd}`));
    } finally {
      close(fd);
    }
  }
  const entries = typedEntries(path) ?? untypedEntries(path);
  return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** An entry of a directory that was looked at. */
export interface StattedEntry {
  readonly name: string;
  readonly stat: Stat;
  /** It has extended attributes. */
  readonly isMarked: boolean;
}

/**
 * The names of a directory, sorted by bytes, with what each is; one that vanishes meanwhile is left out. `path` may
 * be of any length. Relative to the open directory a statx costs two thirds of what it costs by its whole path.
 * @throws a system error
 */
export function statDirectory(path: HostPath): readonly StattedEntry[] {
  const fd = openAt(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  try {
    const names: string[] = [];
    forEachDirent(fd, (name) => void names.push(name));
    const entries = [];
    for (const name of names.sort()) {
      const stat = statAtOrNull(fd, name);
      if (stat !== null) entries.push({ name, stat, isMarked: hasXattrsAt(fd, name, path) });
    }
    return entries;
  } finally {
    close(fd);
  }
}

/** True if the file system tells in a listing what the entries are. */
export function tellsFileTypes(path: HostPath): boolean {
  return typedEntries(path) !== null;
}

type TypedEntry = { readonly name: string } & Pick<Dirent, keyof Stats & keyof Dirent>;

/** null if the file system does not tell types: node looks those up by path, and cannot where the path is a Buffer. */
function typedEntries(path: HostPath): readonly TypedEntry[] | null {
  try {
    return readdirSync(bytesOf(path), { withFileTypes: true, encoding: "latin1" }) as unknown as Dirent<string>[];
  } catch (error) {
    if (error instanceof TypeError && "code" in error && error.code === "ERR_INVALID_ARG_TYPE") return null;
    throw error;
  }
}

function untypedEntries(path: HostPath): readonly TypedEntry[] {
  return namesIn(path).map((name) => Object.assign(lstatSync(bytesOf(joinHost(path, name))), { name }));
}

function namesIn(path: HostPath): string[] {
  return readdirSync(bytesOf(path), { encoding: "latin1" });
}

function kindOf(entry: TypedEntry): FileKind {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "directory";
  if (entry.isSymbolicLink()) return "symlink";
  if (entry.isCharacterDevice()) return "character";
  if (entry.isBlockDevice()) return "block";
  return entry.isFIFO() ? "fifo" : "socket";
}
