/** chmod, chown, truncate and utimensat (SETATTR of the protocol), with what each takes along of the others. */

import { PosixError } from "../../src/errors.ts";
import * as file from "../../src/sys/file.ts";
import type { Stat } from "../../src/sys/stat.ts";
import { setTimesPartly, type TimeChange } from "../../src/sys/times.ts";
import { removeXattrIfSet } from "../../src/sys/xattr.ts";
import { gidOnDisk, uidOnDisk } from "./attributes.ts";
import { contentFd, letGo } from "./content.ts";
import { copyUpOpen } from "./copy-up.ts";
import { ERRNO } from "./errno.ts";
import type { Node } from "./node.ts";
import { CAPABILITY, changeOwnership, withoutSuidgid } from "./ownership.ts";
import type { Union } from "./union.ts";

/** What is to change; what is left out stays. */
export interface Change {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly sizeBytes?: number | undefined;
  readonly atime?: TimeChange | undefined;
  readonly mtime?: TimeChange | undefined;
  /** The setuid and setgid bits and file capabilities are to go, because who changes the file is not its owner. */
  readonly killSuidgid?: boolean;
}

/** @throws PosixError `EROFS`, and what the upperdir's file system answers */
export function setAttributes(union: Union, node: Node, change: Change): Stat {
  copyUpOpen(union, node, change.sizeBytes === 0 && node.opens === 0 ? "nothing" : "all");
  try {
    makeChange(union, node, change);
    return union.statOf(node);
  } finally {
    node.inheritance = null;
    node.hiddenChange = null;
    if (node.opens === 0) letGo(node);
  }
}

function makeChange(union: Union, node: Node, change: Change): void {
  const { mode, uid, gid, sizeBytes, atime, mtime } = change;
  if (uid !== undefined || gid !== undefined) {
    changeOwnership(union, node, {
      uid: uid === undefined ? uid : uidOnDisk(union, uid),
      gid: gid === undefined ? gid : gidOnDisk(union, gid),
    });
  }
  if (sizeBytes !== undefined) file.truncate(contentFd(union, node, true), sizeBytes);
  if (change.killSuidgid) killSuidgid(union, node);
  if (mode !== undefined) {
    if (node.type === file.S_IFLNK) throw new PosixError(ERRNO.ENOTSUP, "chmod");
    changeOwnership(union, node, { mode });
  }
  if (atime === undefined && mtime === undefined) return;
  const { fd, path } = union.placeOf(node);
  setTimesPartly(fd, path, atime ?? "keep", mtime ?? "keep");
}

/** What the kernel does at a write by somebody else: setuid goes, setgid too where the group may run it. */
export function killSuidgid(union: Union, node: Node): void {
  if (node.type !== file.S_IFREG) return;
  const { mode } = union.statOf(node);
  const left = withoutSuidgid(mode);
  if (left !== mode) changeOwnership(union, node, { mode: left });
  if (!node.hasNoXattrs) removeXattrIfSet(union.xattrTargetOf(node), union.storedName(union.layerOf(node), CAPABILITY));
}
