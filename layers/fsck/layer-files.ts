/** Compares the files of an unpacked layer with the digests that were recorded when it was unpacked. */

import { isErrno } from "../../src/errors.ts";
import { type LayerForm, NATIVE } from "../../src/overlay/layer-form.ts";
import { overriddenStat } from "../../src/overlay/override-stat.ts";
import { display, type HostPath, type LayerPath } from "../../src/paths.ts";
import {
  AT_FDCWD,
  close,
  O_DIRECTORY,
  O_RDONLY,
  openAt,
  openWithoutLinks,
  S_IFMT,
  S_IFREG,
} from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { walkTree } from "../../src/sys/walk-tree.ts";
import { type XattrTarget, xattrTargetAt } from "../../src/sys/xattr.ts";
import { digestOfFile, type FileDigest, readFileDigests } from "../apply/file-digests.ts";

/** Paths of an unpacked layer that are not as recorded. */
export interface LayerDifferences {
  readonly missing: readonly LayerPath[];
  readonly changed: readonly LayerPath[];
  readonly extra: readonly LayerPath[];
}

const YIELD_EVERY = 256;

/**
 * Reads every recorded file of the layer unpacked at `tree` once. `digests` is its `files`.
 * @throws {IntegrityError} `ERR_FILE_DIGESTS`; a system error
 */
export async function compareLayer(
  tree: HostPath,
  digests: HostPath,
  form: LayerForm = NATIVE,
  signal?: AbortSignal,
): Promise<LayerDifferences> {
  const missing: LayerPath[] = [];
  const changed: LayerPath[] = [];
  let recorded = 0;
  const fd = openAt(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY);
  try {
    for (const record of readFileDigests(digests)) {
      if (recorded % YIELD_EVERY === 0) await breathe(signal);
      recorded += 1;
      const digest = digestAt(fd, record, form);
      if (digest === null) missing.push(record.path);
      else if (digest !== record.digest) changed.push(record.path);
    }
  } finally {
    close(fd);
  }
  const isComplete = missing.length === 0 && (await countFiles(tree, form, signal)) === recorded;
  return { missing, changed, extra: isComplete ? [] : await unrecorded(tree, digests, form, signal) };
}

/** null if there is no regular file at the path. */
function digestAt(tree: number, record: FileDigest, form: LayerForm): string | null {
  let fd: number;
  try {
    fd = openWithoutLinks(tree, record.path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENXIO")) return null;
    throw error;
  }
  try {
    return isRegular(statAt(fd, null), fd, form) ? digestOfFile(fd, record.form) : null;
  } finally {
    close(fd);
  }
}

/** How many regular files a tree has; one with several names is one. */
async function countFiles(tree: HostPath, form: LayerForm, signal: AbortSignal | undefined): Promise<number> {
  let single = 0;
  const linked = new Set<number>();
  for await (const { stat } of filesOf(tree, form, signal)) {
    if (stat.nlink === 1) single += 1;
    else linked.add(inodeOf(stat));
  }
  return single + linked.size;
}

/** The names of files that no record is of: only a damaged layer has any, and only then they are all looked at. */
async function unrecorded(
  tree: HostPath,
  digests: HostPath,
  form: LayerForm,
  signal: AbortSignal | undefined,
): Promise<readonly LayerPath[]> {
  const recorded = new Set<LayerPath>();
  for (const { path } of readFileDigests(digests)) recorded.add(path);
  const linked = new Set<number>();
  const others: { readonly path: LayerPath; readonly inode: number }[] = [];
  for await (const { path, stat } of filesOf(tree, form, signal)) {
    if (!recorded.has(path)) others.push({ path, inode: inodeOf(stat) });
    else if (stat.nlink > 1) linked.add(inodeOf(stat));
  }
  return others.filter(({ inode }) => !linked.has(inode)).map(({ path }) => path);
}

async function* filesOf(tree: HostPath, form: LayerForm, signal: AbortSignal | undefined) {
  let seen = 0;
  for (const entry of walkTree(tree)) {
    if (isRegular(entry.stat, xattrTargetAt(entry.parentFd, entry.name), form)) yield entry;
    if (seen++ % YIELD_EVERY === 0) await breathe(signal);
  }
}

function isRegular(stat: Stat, target: XattrTarget, { override }: LayerForm): boolean {
  const { mode } = override === null ? stat : overriddenStat(stat, target, override);
  return (mode & S_IFMT) === S_IFREG;
}

function inodeOf({ inoHigh, inoLow }: Stat): number {
  return inoHigh * 2 ** 32 + inoLow;
}

/** Lets the rest of the process have its turn: everything else here is synchronous. */
async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
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
