/** chmod, chown, truncate and utimensat (SETATTR of the protocol), with what each takes along of the others. */

import { PosixError } from "../../src/errors.ts";
import * as file from "../../src/sys/file.ts";
import type { Stat } from "../../src/sys/stat.ts";
import { setTimesPartly, type TimeChange } from "../../src/sys/times.ts";
import { removeXattrIfSet } from "../../src/sys/xattr.ts";
import { gidOnDisk, uidOnDisk } from "./attributes.ts";
import { contentFd, letGo } from "./content.ts";
import { copyUp } from "./copy-up.ts";
import { ERRNO } from "./errno.ts";
import type { Node } from "./node.ts";
import { CAPABILITY, changeOwnership, withoutSuidgid } from "./ownership.ts";
import type { Union } from "./union.ts";

/** What is to change; what is left out stays. */
export interface Change {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: number;
  readonly atime?: TimeChange;
  readonly mtime?: TimeChange;
  /** The setuid and setgid bits and file capabilities are to go, because who changes the file is not its owner. */
  readonly killSuidgid?: boolean;
}

/** @throws PosixError `EROFS`, and what the upperdir's file system answers */
export function setAttributes(union: Union, node: Node, change: Change): Stat {
  const { mode, uid, gid, sizeBytes, atime, mtime } = change;
  copyUp(union, node, sizeBytes === 0 && node.opens === 0 ? "nothing" : "all");
  if (uid !== undefined || gid !== undefined) {
    changeOwnership(union, node, {
      ...(uid !== undefined && { uid: uidOnDisk(union, uid) }),
      ...(gid !== undefined && { gid: gidOnDisk(union, gid) }),
    });
  }
  if (sizeBytes !== undefined) truncate(union, node, sizeBytes);
  if (change.killSuidgid) killSuidgid(union, node);
  if (mode !== undefined) {
    if (node.type === file.S_IFLNK) throw new PosixError(ERRNO.ENOTSUP, "chmod");
    changeOwnership(union, node, { mode });
  }
  const { fd, path } = union.placeOf(node);
  if (atime !== undefined || mtime !== undefined) setTimesPartly(fd, path, atime ?? "keep", mtime ?? "keep");
  node.inheritance = null;
  node.hiddenChange = null;
  return union.statOf(node);
}

function truncate(union: Union, node: Node, sizeBytes: number): void {
  const wasOpen = node.fd >= 0;
  file.truncate(contentFd(union, node, true), sizeBytes);
  if (!wasOpen && node.opens === 0) letGo(node);
}

/** What the kernel does at a write by somebody else: setuid goes, setgid too where the group may run it. */
export function killSuidgid(union: Union, node: Node): void {
  if (node.type !== file.S_IFREG) return;
  const { mode } = union.statOf(node);
  const left = withoutSuidgid(mode);
  if (left !== mode) changeOwnership(union, node, { mode: left });
  removeXattrIfSet(union.xattrTargetOf(node), union.storedName(union.layerOf(node), CAPABILITY));
}
