/** A merged tree as one tar: no whiteouts, nothing of overlayfs, hard links kept. */

import { isMergedDirectory, type MergedEntry, type MergedTree } from "../../src/overlay/merged-tree.ts";
import { S_IFMT, S_IFSOCK } from "../../src/sys/file.ts";
import type { SkippedEntry } from "../diff/change.ts";
import { type LayerTarOptions, LayerTarWriter } from "../diff/layer-tar.ts";
import type { TarSink } from "../diff/tar-stream-writer.ts";
import { TreeNode } from "../diff/tree-diff.ts";

/** What came of an export. */
export interface Exported {
  readonly sizeBytes: number;
  /** Sockets: tar has no type for them. */
  readonly skipped: readonly SkippedEntry[];
}

/**
 * Writes everything that `tree` shows, the root first, each directory before what is in it and names sorted by bytes.
 * The same tree gives the same bytes.
 * @throws {ConflictError} `ERR_FILE_CHANGED` if a file shrinks while it is read
 */
export async function exportTree(tree: MergedTree, sink: TarSink, options: LayerTarOptions = {}): Promise<Exported> {
  await using writer = new LayerTarWriter(sink, options);
  const skipped: SkippedEntry[] = [];
  const pending: MergedEntry[] = [tree.root]; // a stack, not recursion: trees may be deep
  for (let entry = pending.pop(); entry !== undefined; entry = pending.pop()) {
    if ((entry.stat.mode & S_IFMT) === S_IFSOCK) {
      skipped.push({ path: entry.path, reason: "socket" });
      continue;
    }
    const adding = writer.node(new TreeNode(tree, entry));
    if (adding !== undefined) await adding;
    if (writer.isFull) await writer.drain();
    if (isMergedDirectory(entry)) for (const child of tree.list(entry).toReversed()) pending.push(child);
  }
  return { sizeBytes: await writer.finish(), skipped };
}
