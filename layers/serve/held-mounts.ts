/**
 * The mounts of a held snapshot, as data: containerd, or whoever asked, makes them. Forms and order are those of containerd's
 * own overlayfs snapshotter, so that its shortcuts apply: it unpacks straight into the upperdir, and makes lowerdirs with a
 * common beginning short enough for mount(2).
 */

import { existsSync } from "node:fs";
import { type HeldSnapshotRow, listHeldStack } from "../../src/meta/held-snapshots.ts";
import type { Backend } from "../../src/mount/backend.ts";
import { kernelOptions, type OverlayOptions } from "../../src/mount/overlay-options.ts";
import { bytesOf, joinHost } from "../../src/paths.ts";
import { heldDirectory } from "../layout.ts";
import type { Store } from "../store.ts";

/** `containerd.types.Mount`. */
export interface MountData {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface MountStyle {
  readonly backend: Backend;
  /** For overlayfs, beside the directories. */
  readonly options: OverlayOptions;
}

/** The program that `mount -t fuse3.NAME` starts, through mount.fuse3(8). */
const FUSE_TYPE = "fuse3.layerctl-fuse";
/** Our layers have overlayfs' own whiteouts, and keep owners as files do. */
const FUSE_OPTIONS = ["userxattr=off", "aufs=off", "override_stat=off"];

/**
 * What every overlay mount gets, unless `asked` says otherwise. `redirect_dir=on`: directories of lower layers can be renamed.
 * `index=off` where the kernel knows it, as containerd has it: one upperdir may come to stand on other lowerdirs.
 */
export function defaultOverlayOptions(asked: OverlayOptions): OverlayOptions {
  const hasIndex = existsSync("/sys/module/overlay/parameters/index");
  return { redirectDir: "on", ...(hasIndex ? { index: false } : {}), ...asked };
}

/** The mounts of an active snapshot or a view; one each. */
export function mountsOf(store: Store, snapshot: HeldSnapshotRow, style: MountStyle): readonly MountData[] {
  const own = (name: string): string => text(joinHost(heldDirectory(store.layout, snapshot.id), name));
  const lowerdirs = snapshot.parent === null ? [] : lowerdirsOn(store, snapshot.parent.id);
  const isView = snapshot.kind === "view";
  const [top] = lowerdirs;
  if (top === undefined) return [bind(own("fs"), isView)];
  if (isView && lowerdirs.length === 1) return [bind(top, true)];
  const directories = [
    ...(isView ? [] : [`workdir=${own("work")}`, `upperdir=${own("fs")}`]),
    `lowerdir=${lowerdirs.join(":")}`,
  ];
  if (style.backend === "fuse") {
    const options = [...directories, ...FUSE_OPTIONS, ...(isView ? ["ro"] : [])];
    return [{ type: FUSE_TYPE, source: own(isView ? "empty" : "fs"), options }];
  }
  const options = kernelOptions(isView ? withoutUpperdir(style.options) : style.options);
  const words = options.map(([name, value]) => (value === true ? name : `${name}=${value}`));
  return [{ type: "overlay", source: "overlay", options: [...directories, ...words] }];
}

/** The trees of a committed snapshot and of those below it, top first. */
function lowerdirsOn(store: Store, top: number): readonly string[] {
  return listHeldStack(store.db, top).map((id) => text(joinHost(heldDirectory(store.layout, id), "fs")));
}

function bind(source: string, isReadOnly: boolean): MountData {
  return { type: "bind", source, options: [isReadOnly ? "ro" : "rw", "rbind"] };
}

/** Nothing is written that could need them. */
function withoutUpperdir({ redirectDir, metacopy, xino }: OverlayOptions): OverlayOptions {
  return {
    ...(redirectDir === undefined ? {} : { redirectDir: redirectDir === "on" ? "follow" : redirectDir }),
    ...(metacopy === undefined ? {} : { metacopy }),
    ...(xino === undefined ? {} : { xino }),
  };
}

/** Protobuf's strings are text: the server refuses a store whose path is none. */
function text(path: string): string {
  return bytesOf(path).toString("utf8");
}
