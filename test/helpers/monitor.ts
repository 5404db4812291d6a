/** The processes behind a container, and waiting for what becomes of them. */

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Of a container whose first process is `pid`: the parent of unshare(1), which is that one's parent. */
export function monitorOf(pid: number): number {
  const parent = (child: number): number =>
    Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${child}/status`, "utf8"))?.[1]);
  return parent(parent(pid));
}

/** Looks again and again, for 10 seconds at most. */
export async function until(what: () => boolean): Promise<void> {
  for (let turn = 0; !what(); turn++) {
    if (turn > 1000) throw new Error("it never came");
    await sleep(10);
  }
}
