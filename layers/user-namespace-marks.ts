/**
 * Whether a stack can be mounted with `userxattr`. The store's layers are marked in the trusted namespace; with that
 * option the kernel reads the user namespace only, so that an opaque directory would show what it deleted.
 */

import { UnsupportedError } from "../src/errors.ts";
import { opaquenessOf } from "../src/overlay/opaque.ts";
import { display, type HostPath, joinHost } from "../src/paths.ts";
import { listDirectory } from "../src/sys/directory.ts";

/**
 * Returns if no layer has an opaque directory. Reads every directory of every layer but the lowest, whose marks do not
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
        if (opaquenessOf(child, "trusted") === "opaque") throw refusal(lowerdir, child);
        waiting.push(child);
      }
    }
  }
}

function refusal(lowerdir: HostPath, directory: HostPath): UnsupportedError {
  const path = display(directory.slice(lowerdir.length + 1));
  const message =
    `Cannot mount with userxattr: directory "${path}" of a layer is marked opaque in the trusted namespace, which that ` +
    "option does not read; mount without it";
  return new UnsupportedError("ERR_USERXATTR_OPAQUE", message, { data: { path } });
}
