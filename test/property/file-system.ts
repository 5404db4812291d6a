/** What programs are run on: something that answers calls and shows what it holds. */

import { isSystemError } from "../../src/errors.ts";
import { display } from "../../src/paths.ts";
import type { Call, Outcome } from "./model/call.ts";
import { byPath, type Inode, join, lineOf, type Path } from "./model/tree.ts";

export interface FileSystem {
  /** Makes a call. @throws a system error, which is the call's answer */
  perform(call: Call): Outcome;
  /** The names in a directory as it lists them: in any order, twice if it lists them twice. @throws a system error */
  names(directory: Path): readonly string[];
  /** What is at a path, and what the names of one file have in common. @throws a system error */
  look(path: Path): Seen;
}

export interface Seen {
  readonly inode: Inode;
  readonly key: string;
}

/** What a call answers, errors as their names. */
export function outcomeOf(fileSystem: FileSystem, call: Call): Outcome {
  return tried(() => fileSystem.perform(call));
}

/** The result, or the name of the errno; what has none is a bug, and no errno either. */
function tried<Result>(action: () => Result): Result | string {
  try {
    return action();
  } catch (error) {
    return isSystemError(error) ? error.code : `failed: ${String(error).split("\n")[0]}`;
  }
}

/** The whole tree as lines, in the form of `linesOf` of the model. What cannot be looked at is a line too. */
export function observe(fileSystem: FileSystem): readonly string[] {
  const found: [Path, Seen | string][] = [];
  const visit = (path: Path): void => {
    const seen = tried(() => fileSystem.look(path));
    found.push([path, typeof seen === "string" ? `${display(path)} is listed, and lstat answers ${seen}` : seen]);
    if (typeof seen === "string" || seen.inode.kind !== "directory") return;
    const names = tried(() => fileSystem.names(path));
    if (typeof names === "string") found.push([path, `${display(path)}/ cannot be listed: ${names}`]);
    else {
      for (const name of new Set(names)) visit(join(path, name));
      if (new Set(names).size < names.length) found.push([path, `${display(path)}/ lists a name more than once`]);
    }
  };
  visit("");
  const first = new Map<string, Path>();
  return found.sort(byPath).map(([path, seen]) => {
    if (typeof seen === "string") return seen;
    const { inode, key } = seen;
    const link = inode.kind === "directory" ? null : (first.get(key) ?? null);
    if (link === null) first.set(key, path);
    return lineOf(path, inode, link);
  });
}
