/**
 * Volumes with names: directories of the store (volumes/NAME) that outlive the containers which have them. One that is new gets
 * what the image has in its place, as docker has it, and is there under its name when it is whole.
 */

import { existsSync, mkdirSync, renameSync } from "node:fs";
import { ConflictError, isErrno, NotFoundError, UsageError } from "../../src/errors.ts";
import type { Mount } from "../../src/exec/runtime-spec.ts";
import { listContainers } from "../../src/meta/containers.ts";
import { getSnapshotById } from "../../src/meta/snapshots.ts";
import { bytesOf, type HostPath, hostPath, joinHost } from "../../src/paths.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import { AT_FDCWD, chmod, chown, close, O_DIRECTORY, O_PATH, openAt, S_IFDIR, S_IFMT } from "../../src/sys/file.ts";
import { syncDirectory } from "../../src/sys/sync.ts";
import { createTemporary } from "../content/temporary.ts";
import { findPlace } from "../copy/place.ts";
import type { Store } from "../store.ts";
import { discardTree } from "../sweep.ts";
import { copyTree } from "./copy.ts";
import { type ContainerOptions, isVolumeName, parseVolume } from "./options.ts";

export interface Volume {
  readonly name: string;
  readonly path: HostPath;
  /** Of the containers that have it, running or not. */
  readonly containers: readonly string[];
}

/** By name. */
export function listVolumes(store: Store): readonly Volume[] {
  const { volumes } = store.layout;
  const users = usersOf(store);
  const names = existsSync(bytesOf(volumes)) ? listDirectory(volumes).map(({ name }) => name) : [];
  return names.map((name) => ({ name, path: joinHost(volumes, name), containers: users.get(name) ?? [] }));
}

/** Makes an empty volume; one that is there is fine. @throws {UsageError} `ERR_VOLUME_NAME` */
export async function createVolume(store: Store, name: string): Promise<void> {
  checkName(name);
  await make(store, name, async () => {});
}

/**
 * Makes those of `mounts` that are volumes which are not there yet, with what the tree at `rootfs` has in their place, or else
 * empty and of `owner`. @throws as `copyTree`
 */
export async function makeVolumes(
  store: Store,
  mounts: readonly Mount[],
  rootfs: HostPath,
  owner: { readonly uid: number; readonly gid: number },
): Promise<void> {
  for (const { source, destination, type } of mounts) {
    if (type !== "bind" || source.startsWith("/")) continue;
    await make(store, source, (path) => fill(path, rootfs, destination, owner));
  }
}

/**
 * Removes a volume with what is in it.
 * @throws {NotFoundError} `ERR_VOLUME_NOT_FOUND`
 * @throws {ConflictError} `ERR_VOLUME_IN_USE`
 * @throws {UsageError} `ERR_VOLUME_NAME`
 */
export async function removeVolume(store: Store, name: string): Promise<void> {
  checkName(name);
  const volume = listVolumes(store).find((each) => each.name === name);
  const data = { volume: name };
  if (volume === undefined) {
    throw new NotFoundError("ERR_VOLUME_NOT_FOUND", `Cannot remove volume "${name}": there is none of this name`, {
      data,
    });
  }
  const [user] = volume.containers;
  if (user !== undefined) {
    const message = `Cannot remove volume "${name}": container "${user}" has it; remove that first ("layerctl rm ${user}")`;
    throw new ConflictError("ERR_VOLUME_IN_USE", message, { data: { ...data, containers: volume.containers } });
  }
  await discardTree(store, volume.path);
}

async function make(store: Store, name: string, fillIt: (path: HostPath) => Promise<void>): Promise<void> {
  const { layout } = store;
  const path = joinHost(layout.volumes, name);
  if (existsSync(bytesOf(path))) return;
  mkdirSync(bytesOf(layout.volumes), { recursive: true, mode: 0o711 });
  await using temporary = createTemporary(layout, "volume");
  const made = joinHost(temporary.path, "data");
  mkdirSync(bytesOf(made), { mode: 0o755 });
  await fillIt(made);
  try {
    renameSync(bytesOf(made), bytesOf(path));
  } catch (error) {
    if (!isErrno(error, "ENOTEMPTY", "EEXIST")) throw error; // another was faster
  }
  syncDirectory(layout.volumes);
}

async function fill(
  path: HostPath,
  rootfs: HostPath,
  destination: string,
  owner: { readonly uid: number; readonly gid: number },
): Promise<void> {
  const [root, target] = [rootfs, path].map((each) => openAt(AT_FDCWD, each, O_PATH | O_DIRECTORY)) as [number, number];
  try {
    chown(target, null, owner.uid, owner.gid);
    using place = findPlace(root, hostPath(destination), true);
    if (place.stat === null || (place.stat.mode & S_IFMT) !== S_IFDIR) return;
    const from = { root, path: hostPath(`${destination}/.`) };
    const signal = new AbortController().signal;
    await copyTree(
      from,
      { root: target, path: hostPath("/") },
      { archive: true, keepsSetIds: true, followLink: false, owner, signal, onSkipped: () => {} }, // sockets are of no use
    );
    chown(target, null, place.stat.uid, place.stat.gid);
    chmod(target, null, place.stat.mode);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error; // the image has nothing there
  } finally {
    close(root);
    close(target);
  }
}

function usersOf(store: Store): ReadonlyMap<string, readonly string[]> {
  const users = new Map<string, string[]>();
  for (const row of listContainers(store.db)) {
    const { volumes } = JSON.parse(row.options) as ContainerOptions; // as `createContainer` wrote it
    const name = getSnapshotById(store.db, row.snapshot)?.name ?? "";
    for (const { source } of volumes.map(parseVolume)) users.set(source, [...(users.get(source) ?? []), name]);
  }
  return users;
}

function checkName(name: string): void {
  if (isVolumeName(name)) return;
  const state = 'it must be two or more letters, digits, "_", "." and "-", beginning with a letter or digit';
  throw new UsageError(
    "ERR_VOLUME_NAME",
    `Cannot use ${JSON.stringify(name.slice(0, 200))} as a volume's name: ${state}`,
  );
}
