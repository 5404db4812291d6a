/**
 * In which form a store has its layers. The first who unpacks decides it: root takes overlayfs' own, which the kernel
 * mounts; who may not give files their owners takes attributes (`src/overlay/layer-form.ts`), and a file in the store says
 * so. Nothing is lost in them, so that what an ordinary user commits is what root would.
 */

import { existsSync, rmSync } from "node:fs";
import { isErrno } from "../src/errors.ts";
import { listLayers } from "../src/meta/layers.ts";
import { IN_ATTRIBUTES, type LayerForm, NATIVE } from "../src/overlay/layer-form.ts";
import { formatOwnership } from "../src/overlay/override-stat.ts";
import { bytesOf, type HostPath } from "../src/paths.ts";
import { canRestoreOwners } from "../src/privilege.ts";
import { syncFile } from "../src/sys/data.ts";
import { AT_FDCWD, close, O_CREAT, O_RDWR, openAt, S_IFREG } from "../src/sys/file.ts";
import { syncDirectory } from "../src/sys/sync.ts";
import { setXattr } from "../src/sys/xattr.ts";
import type { Store } from "./store.ts";

/** The form of a store's layers and snapshots. */
export function formOf({ layout }: Pick<Store, "layout">): LayerForm {
  return existsSync(bytesOf(layout.attributesMark)) ? IN_ATTRIBUTES : NATIVE;
}

/**
 * The form to unpack in; null if this process cannot: it may not give files their owners, and the store has layers of root,
 * or its file system takes no attributes.
 */
export function chooseForm(store: Store): LayerForm | null {
  if (formOf(store) === IN_ATTRIBUTES) return IN_ATTRIBUTES;
  if (canRestoreOwners()) return NATIVE;
  if (store.db.isReadOnly || listLayers(store.db).length > 0) return null;
  return markAttributes(store.layout.attributesMark) ? IN_ATTRIBUTES : null;
}

/** The mark is durable when this returns; false where there are no attributes. */
function markAttributes(path: HostPath): boolean {
  const fd = openAt(AT_FDCWD, path, O_RDWR | O_CREAT, 0o600);
  try {
    const owner = formatOwnership({ uid: 0, gid: 0, mode: S_IFREG | 0o600, rdevMajor: 0, rdevMinor: 0 });
    setXattr(fd, "user.containers.override_stat", owner);
    syncFile(fd);
  } catch (error) {
    if (!isErrno(error, "ENOTSUP")) throw error;
    rmSync(bytesOf(path));
    return false;
  } finally {
    close(fd);
  }
  syncDirectory(path.slice(0, path.lastIndexOf("/")) as HostPath);
  return true;
}
