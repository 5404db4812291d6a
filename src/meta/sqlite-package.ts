/** Where better-sqlite3 comes from: its package here, and in dist/ what scripts/build.ts puts in this file's place. */

import { createRequire } from "node:module";
import type Sqlite from "better-sqlite3";

/** The constructor of connections, loaded now. */
export function sqlitePackage(): typeof Sqlite {
  const require = createRequire(import.meta.url);
  try {
    // The package's main entry asks for a diagnostic report to tell glibc from musl, which costs milliseconds.
    return require(`better-sqlite3/linux-${process.arch}`) as typeof Sqlite;
  } catch {
    return require("better-sqlite3") as typeof Sqlite; // musl, or another machine: the entry that looks around
  }
}
