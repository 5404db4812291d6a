/**
 * The mount tables of other mount namespaces: what is mounted there is in use, and our own table does not have it. Found
 * are the namespaces of processes that this one may look at, at about 10 µs a process; not one that only a file keeps.
 */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isSystemError } from "../errors.ts";
import { byteString } from "../paths.ts";

/** A namespace, by the first process in it. */
export interface NamespaceTable {
  readonly pid: number;
  /** As `readMountTable` gives it. */
  readonly table: string;
}

/** One for each mount namespace but this process's own. */
export function otherMountTables(): readonly NamespaceTable[] {
  const seen = new Set([namespaceOf("self")]);
  const tables: NamespaceTable[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const namespace = namespaceOf(pid);
    if (namespace === null || seen.has(namespace)) continue;
    const table = readOrNull(() => byteString(readFileSync(`/proc/${pid}/mountinfo`)));
    if (table === null || table === "") continue; // it ends: another process of its namespace may not
    seen.add(namespace);
    tables.push({ pid: Number(pid), table });
  }
  return tables;
}

function namespaceOf(pid: string): string | null {
  return readOrNull(() => readlinkSync(`/proc/${pid}/ns/mnt`));
}

/** null for a process that has ended, or belongs to somebody else. */
function readOrNull(read: () => string): string | null {
  try {
    return read();
  } catch (error) {
    if (isSystemError(error)) return null;
    throw error;
  }
}
