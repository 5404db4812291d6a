/**
 * Whether a stack can be mounted with `userxattr`. The store's layers are marked in the trusted namespace; with that
 * option the kernel reads the user namespace only, so that an opaque directory would show what it deleted, and one that
 * has such a mark as data (the image holds layers of its own) would hide what is below it.
 */

import { UnsupportedError } from "../src/errors.ts";
import { opaquenessOf } from "../src/overlay/opaque.ts";
import { display, type HostPath, joinHost } from "../src/paths.ts";
import { listDirectory } from "../src/sys/directory.ts";

/**
 * Returns if no layer has an opaque directory, or what looks like one. Reads every directory of every layer but the lowest, whose marks do not
 * matter: some milliseconds for each thousand. `lowerdirs` are top first.
 * @throws {UnsupportedError} `ERR_USERXATTR_OPAQUE` with the first one found
 */
export function refuseOpaqueDirectories(lowerdirs: readonly HostPath[]): void {
  for (const lowerdir of lowerdirs.slice(0, -1)) {
    const waiting: HostPath[] = [lowerdir];
    for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
      for (const { name, kind } of listDirectory(directory)) {
        if (kind !== "directory") continue;
        const child = joinHost(directory, name);
        if (opaquenessOf(child, "trusted") === "opaque") throw refusal(lowerdir, child, IGNORED);
        if (opaquenessOf(child, "user") !== "merged") throw refusal(lowerdir, child, OBEYED);
        waiting.push(child);
      }
    }
  }
}

const IGNORED = "is marked opaque in the trusted namespace, which that option does not read";
const OBEYED = "has the mark of an opaque directory as data, which that option would obey";

function refusal(lowerdir: HostPath, directory: HostPath, why: string): UnsupportedError {
  const path = display(directory.slice(lowerdir.length + 1));
  const message = `Cannot mount with userxattr: directory "${path}" of a layer ${why}; mount without it`;
  return new UnsupportedError("ERR_USERXATTR_OPAQUE", message, { data: { path } });
}
