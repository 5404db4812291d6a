/** inotify(7), as `fs.watch` has it: who watches a directory or file hears of changes. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { watch } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { HostPath } from "../../../src/paths.ts";
import { check, group } from "../check.ts";

/** Events come in order, so that none is on its way any more once that of this name has come. */
const LAST = "last-of-all";
const PATIENCE_MS = 2_000;

/** What a watcher of a directory hears while `action` runs: "rename NAME" for what comes and goes, "change NAME". */
async function heard(directory: HostPath, action: () => void, end: () => void): Promise<string> {
  const events: string[] = [];
  const watcher = watch(directory);
  try {
    const ended = new Promise<void>((resolve) => {
      watcher.on("change", (type, name) => {
        if (name === LAST) resolve();
        else events.push(`${type} ${name}`);
      });
    });
    action();
    end();
    await Promise.race([ended, sleep(PATIENCE_MS)]);
  } finally {
    watcher.close();
  }
  return [...new Set(events)].join(", ");
}

export const notify = group(
  "notify",
  check("who watches a directory hears of what is made, renamed and removed in it", "d/old=1", async (place) => {
    const events = await heard(
      place.path("d"),
      () => {
        place.write("d/a", "");
        place.rename("d/a", "d/b");
        place.unlink("d/old");
      },
      () => place.mkdir(`d/${LAST}`),
    );
    assert.match(events, /rename a.*rename b.*rename old/);
  }),
  check("who watches a directory hears of a write to a file in it", "d/f=1", async (place) => {
    const events = await heard(
      place.path("d"),
      () => place.append("d/f", "2"),
      () => place.mkdir(`d/${LAST}`),
    );
    assert.equal(events, "change f");
  }),
  check("who watches a file hears of a write to it", "f=1", async (place) => {
    const watcher = watch(place.path("f"));
    try {
      const event = once(watcher, "change", { signal: AbortSignal.timeout(PATIENCE_MS) });
      place.append("f", "2");
      const [type] = (await event) as [string];
      assert.equal(type, "change");
    } finally {
      watcher.close();
    }
  }),
  check("who watches a file hears of its attributes", "f=1", async (place) => {
    const watcher = watch(place.path("f"));
    try {
      const event = once(watcher, "change", { signal: AbortSignal.timeout(PATIENCE_MS) });
      place.chmod("f", 0o600);
      const [type] = (await event) as [string];
      assert.equal(type, "change");
    } finally {
      watcher.close();
    }
  }),
);
