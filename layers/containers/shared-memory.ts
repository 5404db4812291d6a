/**
 * The /dev/shm of containers whose IPC namespace others may join: a tmpfs of this host, in the container's directory, that
 * is mounted into all of them. Nobody can mount what is in another container only.
 */

import { mkdirSync } from "node:fs";
import { SHM } from "../../src/exec/default-mounts.ts";
import type { Mount } from "../../src/exec/runtime-spec.ts";
import { rootOf } from "../../src/mount/id-mapping.ts";
import { findMount } from "../../src/mount/mount-info.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { MNT_DETACH, MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, umount } from "../../src/sys/mount.ts";
import type { NamespacePlan } from "./namespaces.ts";

function placeIn(directory: HostPath): HostPath {
  return joinHost(directory, "shm");
}

/** Makes it in the directory of a container. @throws PosixError */
export function makeSharedMemory(directory: HostPath, { ids }: NamespacePlan): void {
  const place = placeIn(directory);
  mkdirSync(bytesOf(place), { recursive: true, mode: 0o700 });
  removeSharedMemory(directory);
  const { uid, gid } = ids === null ? { uid: 0, gid: 0 } : rootOf(ids);
  mount("shm", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, [...SHM, `uid=${uid}`, `gid=${gid}`].join(","));
}

/** Takes it away; those that have it keep it. */
export function removeSharedMemory(directory: HostPath): void {
  const place = placeIn(directory);
  if (findMount(place) !== null) umount(place, MNT_DETACH);
}

/** How a container has that of the directory. */
export function sharedMemoryMount(directory: HostPath): Mount {
  const source = bytesOf(placeIn(directory)).toString();
  return { destination: "/dev/shm", type: "bind", source, options: ["rbind", "rprivate", "nosuid", "nodev", "noexec"] };
}
