/**
 * Which snapshots were made since the machine started. What another engine unpacked is not synced, so that a power cut may
 * have taken some of the content of an older one; a server that was killed has lost nothing of it.
 */

import { readFileSync } from "node:fs";
import { isErrno } from "../../src/errors.ts";
import { lastHeldId } from "../../src/meta/held-snapshots.ts";
import { bytesOf } from "../../src/paths.ts";
import { replaceFile } from "../../src/sys/replace-file.ts";
import type { Store } from "../store.ts";

/** The file's content. */
interface Boot {
  /** The kernel's name for this boot (random(4)). */
  readonly id: string;
  /** The newest snapshot of those that were there before. */
  readonly lastBefore: number;
}

/** The id of the newest snapshot that was made before this boot, or before anybody asked; 0 if there was none. @throws a system error */
export function lastBeforeThisBoot(store: Store): number {
  const id = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return store.db.transaction("relaxed", () => {
    const known = readBoot(store);
    if (known?.id === id) return known.lastBefore;
    const lastBefore = lastHeldId(store.db);
    replaceFile(store.layout.heldBoot, JSON.stringify({ id, lastBefore } satisfies Boot));
    return lastBefore;
  }); // under the database's lock nobody writes the file
}

function readBoot(store: Store): Boot | null {
  try {
    return JSON.parse(readFileSync(bytesOf(store.layout.heldBoot), "utf8")) as Boot; // our own file
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}
