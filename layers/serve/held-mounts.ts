/**
 * The mounts of a held snapshot, as data: containerd, or whoever asked, makes them. Forms and order are those of containerd's
 * own overlayfs snapshotter, so that its shortcuts apply: it unpacks straight into the upperdir, and makes lowerdirs with a
 * common beginning short enough for mount(2).
 */

import { existsSync, realpathSync } from "node:fs";
import { type HeldSnapshotRow, listHeldStack } from "../../src/meta/held-snapshots.ts";
import type { Backend } from "../../src/mount/backend.ts";
import { kernelOptions, type OverlayOptions } from "../../src/mount/overlay-options.ts";
import { bytesOf, joinHost } from "../../src/paths.ts";
import { heldDirectory } from "../layout.ts";
import type { Store } from "../store.ts";
import { fuseWords, kernelWords, mappingsOf } from "./remap.ts";

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
  /** Mount with the ids that labels ask for. */
  readonly remapsIds: boolean;
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
  const ids = style.remapsIds ? mappingsOf(snapshot.labels) : null;
  const lowerdirs = snapshot.parent === null ? [] : lowerdirsOn(store, snapshot.parent.id, ids !== null);
  const isView = snapshot.kind === "view";
  const [top] = lowerdirs;
  const mapping = ids === null ? [] : kernelWords(ids);
  if (top === undefined) return [bind(own("fs"), isView, mapping)];
  if (isView && lowerdirs.length === 1) return [bind(top, true, mapping)];
  const directories = [
    ...(isView ? [] : [`workdir=${own("work")}`, `upperdir=${own("fs")}`]),
    `lowerdir=${lowerdirs.join(":")}`,
  ];
  const asked = isView ? withoutUpperdir(style.options) : style.options;
  if (style.backend === "fuse") {
    const redirects = asked.redirectDir === undefined ? [] : [`redirect_dir=${asked.redirectDir}`];
    const words = [...FUSE_OPTIONS, ...redirects, ...(ids === null ? [] : fuseWords(ids)), ...(isView ? ["ro"] : [])];
    return [{ type: FUSE_TYPE, source: own(isView ? "empty" : "fs"), options: [...directories, ...words] }];
  }
  const words = kernelOptions(asked).map(([name, value]) => (value === true ? name : `${name}=${value}`));
  return [{ type: "overlay", source: "overlay", options: [...mapping, ...directories, ...words] }];
}

/**
 * The trees of a committed snapshot and of those below it, top first. `isRemapped`: by their real paths, since containerd
 * gives the directory that all have in common other ids at another place, where links would lead astray.
 */
function lowerdirsOn(store: Store, top: number, isRemapped: boolean): readonly string[] {
  const trees = listHeldStack(store.db, top).map((id) => text(joinHost(heldDirectory(store.layout, id), "fs")));
  return isRemapped ? trees.map((tree) => realpathSync(tree)) : trees;
}

function bind(source: string, isReadOnly: boolean, mapping: readonly string[]): MountData {
  return { type: "bind", source, options: [...mapping, isReadOnly ? "ro" : "rw", "rbind"] };
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
