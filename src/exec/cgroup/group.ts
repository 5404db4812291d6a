/** A control group that was made: its directories, and what their files say. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { readFileOrNull } from "./files.ts";

export interface Cgroup {
  readonly name: string;
  /** One directory a hierarchy. */
  readonly directories: readonly string[];
  readonly version: 1 | 2;
}

/** What the file `name` of the group says, whichever tree has it; null if none has. @throws a system error */
export function readControl({ directories }: Cgroup, name: string): string | null {
  for (const directory of directories) {
    const text = readFileOrNull(join(directory, name));
    if (text !== null) return text;
  }
  return null;
}

/** The path of the file `name` of the group, whichever tree has it; null if none has. */
export function controlPath({ directories }: Cgroup, name: string): string | null {
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path)) ?? null;
}
