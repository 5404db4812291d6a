/**
 * A copy-up changes nothing that anybody asked for, but the times of the directory that the copy is moved into. The time of
 * modification is put back; the time of change (ctime), and that of a copied directory, no call can put back. So while the
 * node is known the time from before is shown, until something really changes the directory. Kernel overlayfs shows it, and
 * tar(1) then says that a directory changed while it was read.
 */

import type { Stat } from "../../src/sys/stat.ts";
import type { Time } from "../protocol/reply.ts";
import type { Node } from "./node.ts";

export interface HiddenChange {
  /** How often names in the directory had been changed by then (`DirectoryIndex.changes`). */
  readonly changes: number;
  readonly shownCtime: Time;
  readonly mtime: Time;
}

/** Copy-ups have changed a directory that was as `before`, and nothing else: that is not shown. */
export function hideChange(directory: Node, before: Omit<HiddenChange, "changes">): void {
  const { shownCtime, mtime } = before;
  directory.hiddenChange = { changes: changesOf(directory), shownCtime, mtime };
}

/** What is hidden of a directory; null if something else has changed it since, or nothing was hidden. */
export function hiddenChange(node: Node): HiddenChange | null {
  const hidden = node.hiddenChange;
  return hidden !== null && hidden.changes === changesOf(node) ? hidden : null;
}

/** The time of change to show for a node whose attributes are `stat`. */
export function shownCtime(node: Node, { ctimeSeconds, ctimeRest }: Stat): Time {
  return hiddenChange(node)?.shownCtime ?? { seconds: ctimeSeconds, rest: ctimeRest };
}

function changesOf({ index }: Node): number {
  return index?.changes ?? 0;
}
