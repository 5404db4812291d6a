/**
 * A copy-up changes nothing that anybody asked for, but the time of change (ctime) of the directory that the copy is moved
 * into, and that of a copied directory, which no call can put back. So while the node is known the time from before is
 * shown, until something really changes the directory. Kernel overlayfs shows it, and tar(1) then says that a directory
 * changed while it was read.
 */

import type { Stat } from "../../src/sys/stat.ts";
import type { Time } from "../protocol/reply.ts";
import type { Node } from "./node.ts";

export interface HiddenChange {
  /** What the copy-up left: as long as a directory has these times, nothing else has happened. */
  readonly left: Stat;
  /** How often names in it had been changed by then (`DirectoryIndex.changes`). */
  readonly changes: number;
  readonly shown: Time;
}

/** What was done to a directory between `before` and `after` is not shown. */
export function hideChange(directory: Node, before: Stat, after: Stat): void {
  directory.hiddenChange = {
    left: after,
    changes: directory.index?.changes ?? 0,
    shown: shownCtime(directory, before),
  };
}

/** The time of change to show for a node whose attributes are `stat`. */
export function shownCtime({ hiddenChange }: Node, stat: Stat): Time {
  if (hiddenChange !== null && isLeft(hiddenChange, stat)) return hiddenChange.shown;
  return { seconds: stat.ctimeSeconds, rest: stat.ctimeRest };
}

function isLeft({ left }: HiddenChange, stat: Stat): boolean {
  return (
    left.ctimeRest === stat.ctimeRest &&
    left.mtimeRest === stat.mtimeRest &&
    left.ctimeSeconds === stat.ctimeSeconds &&
    left.mtimeSeconds === stat.mtimeSeconds
  );
}
