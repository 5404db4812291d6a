/** Compares the files of an unpacked layer with the digests that were recorded when it was unpacked. */

import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { type LayerForm, NATIVE } from "../../src/overlay/layer-form.ts";
import { overriddenStat } from "../../src/overlay/override-stat.ts";
import { display, type HostPath, type LayerPath } from "../../src/paths.ts";
import { close, O_NOFOLLOW, O_RDONLY, openAt, S_IFMT, S_IFREG } from "../../src/sys/file.ts";
import { walkTree } from "../../src/sys/walk-tree.ts";
import { xattrTargetAt } from "../../src/sys/xattr.ts";
import type { FileDigest } from "../apply/file-digests.ts";

/** Paths of an unpacked layer that are not as recorded. */
export interface LayerDifferences {
  readonly missing: readonly LayerPath[];
  readonly changed: readonly LayerPath[];
  readonly extra: readonly LayerPath[];
}

const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
const YIELD_EVERY = 256;

/** Reads every file below `tree` once. */
export async function compareLayer(
  tree: HostPath,
  records: readonly FileDigest[],
  form: LayerForm = NATIVE,
  signal?: AbortSignal,
): Promise<LayerDifferences> {
  const recorded = new Map(records.map((record) => [record.path, record.sha256]));
  const found = await hashFiles(tree, form, signal);
  const changed = [...found].filter(([path, file]) => (recorded.get(path) ?? file.sha256) !== file.sha256);
  const missing = records.filter((record) => !found.has(record.path));
  const linked = new Set(records.map((record) => found.get(record.path)?.inode));
  const extra = [...found].filter(([path, file]) => !recorded.has(path) && !linked.has(file.inode));
  const paths = (entries: readonly (readonly [LayerPath, HashedFile])[]): readonly LayerPath[] =>
    entries.map(([path]) => path);
  return { missing: missing.map((record) => record.path), changed: paths(changed), extra: paths(extra) };
}

interface HashedFile {
  readonly inode: bigint;
  readonly sha256: string;
}

/** The regular files of a tree; what has several names is read once. */
async function hashFiles(
  tree: HostPath,
  { override }: LayerForm,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<LayerPath, HashedFile>> {
  const found = new Map<LayerPath, HashedFile>();
  const linked = new Map<bigint, HashedFile>();
  for (const { path, name, parentFd, stat } of walkTree(tree)) {
    const shown = override === null ? stat : overriddenStat(stat, xattrTargetAt(parentFd, name), override);
    if ((shown.mode & S_IFMT) !== S_IFREG) continue;
    if (found.size % YIELD_EVERY === 0) await breathe(signal);
    const file = linked.get(stat.ino) ?? { inode: stat.ino, sha256: hashFile(parentFd, name) };
    if (stat.nlink > 1) linked.set(stat.ino, file);
    found.set(path, file);
  }
  return found;
}

/** Lets the rest of the process have its turn: everything else here is synchronous. */
async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}

function hashFile(parentFd: number, name: string): string {
  const fd = openAt(parentFd, name, O_RDONLY | O_NOFOLLOW);
  try {
    const hash = createHash("sha256");
    for (let size = readSync(fd, buffer); size > 0; size = readSync(fd, buffer)) hash.update(buffer.subarray(0, size));
    return hash.digest("hex");
  } finally {
    close(fd);
  }
}

/** All of them, each path once, sorted by bytes. */
export function joinDifferences(all: readonly LayerDifferences[]): LayerDifferences {
  const join = (key: keyof LayerDifferences): readonly LayerPath[] => [
    ...new Set(all.flatMap((each) => [...each[key]]).sort()),
  ];
  return { missing: join("missing"), changed: join("changed"), extra: join("extra") };
}

/** "3 files changed: a, b, …". */
export function describeDifferences({ missing, changed, extra }: LayerDifferences): string {
  const parts = [
    ["changed", changed],
    ["missing", missing],
    ["added", extra],
  ] as const;
  return parts
    .filter(([, paths]) => paths.length > 0)
    .map(
      ([what, paths]) =>
        `${paths.length} ${what}: ${paths
          .slice(0, 5)
          .map((path) => `"${display(path) || "/"}"`)
          .join(", ")}`,
    )
    .join("; ");
}
