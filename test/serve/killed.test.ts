/** The server killed at any moment, again and again: what it answered is there, and nothing is half. */

import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { requires } from "../helpers/requires.ts";
import { type ServedStore, servedStore } from "../helpers/served-store.ts";
import type { Info, SnapshotsClient } from "../helpers/snapshots-client.ts";

const skip = requires("root", "overlay");
const CLIENTS = 8;

/** What is known of a name: the kind it was last told to have, null for gone; undefined while an answer is missing. */
type Told = Map<string, Info["kind"] | null | undefined>;

/** Makes, commits and removes snapshots until a call fails because nobody answers. */
async function work(client: SnapshotsClient, prefix: string, told: Told): Promise<void> {
  const step = async (call: Promise<unknown>, after: Readonly<Record<string, Info["kind"] | null>>): Promise<void> => {
    for (const name of Object.keys(after)) told.set(name, undefined);
    await call;
    for (const [name, kind] of Object.entries(after)) told.set(name, kind);
  };
  try {
    for (let index = 0; ; index++) {
      const [active, layer, view] = ["a", "l", "v"].map((kind) => `${prefix}-${index}-${kind}`) as [
        string,
        string,
        string,
      ];
      await step(client.prepare(active), { [active]: "ACTIVE" });
      await step(client.commit(layer, active), { [active]: null, [layer]: "COMMITTED" });
      await step(client.view(view, layer), { [view]: "VIEW" });
      if (index % 3 === 0) continue;
      await step(client.remove(view), { [view]: null });
      await step(client.remove(layer), { [layer]: null });
    }
  } catch {
    // killed
  }
}

async function check({ client, root, ok }: ServedStore, told: Told): Promise<void> {
  const { infos } = await client.list();
  const found = new Map(infos.map((info) => [info.name, info.kind]));
  for (const [name, kind] of told) {
    if (kind !== undefined) assert.equal(found.get(name) ?? null, kind, `${name} was answered to be so`);
  }
  for (const { name, parent, kind } of infos) {
    assert.ok(parent === "" || found.get(parent) === "COMMITTED", `the parent of ${name}`);
    if (kind === "COMMITTED") continue;
    const [mount] = await client.mounts(name);
    assert.ok(existsSync(mount?.source ?? ""), `the directory of ${name}`);
  }
  await client.cleanup();
  const own = infos.filter(({ kind, parent }) => kind !== "VIEW" || parent === "");
  assert.equal(
    readdirSync(join(root, "held")).length,
    own.length,
    "a directory for each snapshot that has one, and no other",
  );
  assert.match(ok("fsck"), /sound$/m);
}

test("killed at any moment, the server has done what it answered, and nothing by halves", { skip }, async () => {
  await using served = await servedStore();
  const told: Told = new Map();
  for (let round = 0; round < 6; round++) {
    const workers = Array.from({ length: CLIENTS }, (_, index) => work(served.client, `r${round}-${index}`, told));
    await sleep(20 + round * 37); // any moment will do
    await served.serving.end("SIGKILL");
    await Promise.all(workers);
    await served.restart();
    await check(served, told);
  }
  assert.ok(told.size > CLIENTS, "something was done");
});
