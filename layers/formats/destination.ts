/** Where a file goes that a command writes: beside its place until it is whole, so that what was there stays till then. */

import { realpathSync, type Stats, statSync } from "node:fs";
import {
  ConflictError,
  isErrno,
  isSystemError,
  NotFoundError,
  PosixError,
  UsageError,
  whileWriting,
} from "../../src/errors.ts";
import { bytesOf, display, type HostPath, hostPathOfBytes } from "../../src/paths.ts";

/** How to write a destination. */
export type Destination =
  | { readonly kind: "in-place"; readonly path: HostPath } // a device or a pipe
  | {
      readonly kind: "replaced";
      /** The new file until it is whole; then it is renamed to `path`. */
      readonly temporary: HostPath;
      readonly path: HostPath;
      /** The directory of both, to be synchronized after the rename. */
      readonly directory: HostPath;
      /** For the new file: what is replaced gives its own. */
      readonly mode: number;
    };

/**
 * What `path`, as a person gave it, stands for. A symbolic link stays one: what it points to is replaced.
 * @throws {UsageError} `ERR_DESTINATION` if it is empty
 * @throws {ConflictError} `ERR_DESTINATION_EXISTS` if it is a directory
 * @throws {NotFoundError} `ERR_DESTINATION_PARENT` if there is no directory to make it in
 */
export function destinationAt(path: HostPath): Destination {
  const shown = display(path);
  if (path === "") throw new UsageError("ERR_DESTINATION", 'Cannot write "": it is no name of a file');
  const existing = statOrNull(path);
  if (existing?.isDirectory() === true) {
    throw new ConflictError("ERR_DESTINATION_EXISTS", `Cannot write "${shown}": it is a directory; name a file in it`);
  }
  if (existing !== null && !existing.isFile()) return { kind: "in-place", path };
  const target = existing === null ? path : hostPathOfBytes(realpathSync(bytesOf(path), "buffer"));
  const directory = (target.includes("/") ? target.slice(0, target.lastIndexOf("/") + 1) : ".") as HostPath;
  if (statOrNull(directory)?.isDirectory() !== true) {
    const why = `there is no directory "${display(directory)}" to make it in`;
    throw new NotFoundError("ERR_DESTINATION_PARENT", `Cannot write "${shown}": ${why}`);
  }
  const temporary = `${target}.${process.pid}.partial` as HostPath;
  return {
    kind: "replaced",
    temporary,
    path: target,
    directory,
    mode: existing === null ? 0o666 : existing.mode & 0o777,
  };
}

/** What to throw for an error of writing to `place`: it names what the person named, not the file beside it. */
export function onto(place: Destination, error: unknown): unknown {
  const path = bytesOf(place.path).toString();
  const isBeside =
    isSystemError(error) && place.kind === "replaced" && error.path === bytesOf(place.temporary).toString();
  return isBeside ? new PosixError(-error.errno, error.syscall ?? "write", path) : whileWriting(path, error);
}

function statOrNull(path: HostPath): Stats | null {
  try {
    return statSync(bytesOf(path));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
}
