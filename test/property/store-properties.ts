/** (5): what a snapshot changed, committed, saved, imported into another store and mounted, is the same tree, and the same bytes each time. */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { commitSnapshot } from "../../layers/commit/commit.ts";
import { importSource } from "../../layers/import.ts";
import { mountImage } from "../../layers/mounts.ts";
import { type SaveFormat, saveImages } from "../../layers/save.ts";
import { Store } from "../../layers/store.ts";
import { unmount } from "../../layers/unmount.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { found, hasReservedNames } from "./layer-properties.ts";
import { linesOf } from "./model/tree.ts";
import type { Aftermath, Found } from "./properties.ts";
import { directoryOf } from "./scene.ts";
import { SNAPSHOT, storeOf } from "./store-subject.ts";
import { Workers } from "./workers.ts";

const COMMITTED = "localhost/case:committed";
/** The latest time in a layer, and that of its making: later than any case. */
const SOURCE_DATE = "32503680000";

export async function commits(aftermath: Aftermath): Promise<readonly Found[]> {
  const { subject, scene, judged } = aftermath;
  if (subject.name !== "store") return [];
  process.env.SOURCE_DATE_EPOCH = SOURCE_DATE;
  using store = storeOf(scene);
  const digests = [];
  for (const reference of [COMMITTED, COMMITTED]) digests.push(await commitSnapshot(store, SNAPSHOT, { reference }));
  const [first, second] = digests.map(({ digest }) => digest);
  // What is wrong with a whole batch is said of one of its cases: the search, which tries fewer at a time, tells which it is.
  const suspect = judged.findIndex(({ before, after }) => !hasReservedNames(before) && !hasReservedNames(after));
  const same = (property: string, expected: string, shown: string): readonly Found[] =>
    expected === shown ? [] : [[suspect, { property, expected, found: shown, step: null }]];
  const findings: Found[] = [...same("a snapshot that is committed twice is one image", first ?? "", second ?? "")];
  for (const format of ["oci-archive", "docker-archive"] as const) {
    const [file, again, elsewhere] = ["saved", "again", "elsewhere"].map((name) =>
      joinHost(scene.directory, `${name}.${format}`),
    ) as [HostPath, HostPath, HostPath];
    const saved = await save(store, file, format);
    findings.push(...same("an image that is saved twice is the same bytes", saved, await save(store, again, format)));
    using other = Store.open(joinHost(scene.directory, `store.${format}`));
    await importSource(other, file);
    const copy = await save(other, elsewhere, format);
    findings.push(...same("an image that is imported and saved is the same bytes", saved, copy));
    const shown = await shownBy(other, aftermath, joinHost(scene.directory, `mount.${format}`));
    for (const [index, { before, after }] of judged.entries()) {
      if (hasReservedNames(before) || hasReservedNames(after)) continue;
      findings.push(...found(index, MOUNTED, linesOf(after), shown[index] ?? ["no answer"]));
    }
  }
  return findings;
}

const MOUNTED = "what was committed, saved, imported and mounted is the same tree";

/** The digest of what was written. */
async function save(store: Store, destination: HostPath, format: SaveFormat): Promise<string> {
  await saveImages(store, [COMMITTED], { destination, format });
  return createHash("sha256")
    .update(readFileSync(bytesOf(destination)))
    .digest("hex");
}

/** The tree of each case in a view of the committed image. */
async function shownBy(
  store: Store,
  { sinceMs, judged }: Aftermath,
  target: HostPath,
): Promise<readonly (readonly string[])[]> {
  mkdirSync(bytesOf(target));
  const workers = await Workers.get();
  const { snapshot } = await mountImage(store, COMMITTED, { readOnly: true, target, backend: "kernel" });
  try {
    const jobs = judged.map((_, index) => ({ directory: directoryOf(index), program: [] }));
    return (await workers.run(target, sinceMs, jobs)).map(({ end }) => end);
  } finally {
    await unmount(store, snapshot.name);
  }
}
