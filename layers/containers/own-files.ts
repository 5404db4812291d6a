/**
 * The files that are the container's and not the image's: /etc/hosts, /etc/hostname and /etc/resolv.conf. They lie beside
 * the snapshot's upperdir and are mounted over the stubs of its init layer, so that no diff or commit sees them.
 */

import { chownSync, readFileSync, writeFileSync } from "node:fs";
import { isErrno } from "../../src/errors.ts";
import type { Mount } from "../../src/exec/runtime-spec.ts";
import { type IdMappings, rootOf } from "../../src/mount/id-mapping.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";

/** Their contents. */
export interface OwnFiles {
  readonly hosts: string;
  readonly hostname: string;
  readonly "resolv.conf": string;
}

const NAMES: readonly (keyof OwnFiles)[] = ["hosts", "hostname", "resolv.conf"];

/**
 * Writes the files into `directory`, which is there. They are the root's of the container's user namespace, which has `ids`.
 * @throws a system error
 */
export function writeOwnFiles(directory: HostPath, files: OwnFiles, ids: IdMappings | null): void {
  const owner = ids === null ? null : rootOf(ids);
  for (const name of NAMES) {
    const path = bytesOf(joinHost(directory, name));
    writeFileSync(path, files[name], { mode: 0o644 });
    if (owner !== null) chownSync(path, owner.uid, owner.gid);
  }
}

/** How the files in `directory` are mounted. */
export function ownMounts(directory: HostPath): readonly Mount[] {
  return NAMES.map((name) => ({
    destination: `/etc/${name}`,
    type: "bind",
    source: bytesOf(joinHost(directory, name)).toString(),
    options: ["rbind", "rprivate"],
  }));
}

/** The text of a file of the host; "" if there is none that can be read. */
export function hostFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES")) return "";
    throw error;
  }
}
