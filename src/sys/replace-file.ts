/** A small file that is there whole: the old content or the new one, also after a power cut. */

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { bytesOf, type HostPath } from "../paths.ts";
import { syncDirectory } from "./sync.ts";

/** Writes `path`, with `mode`, in place of what is there. Who calls it for one path twice at once has to lock. @throws a system error */
export function replaceFile(path: HostPath, content: string | Uint8Array, mode = 0o600): void {
  const temporary = `${path}.new` as HostPath;
  const fd = openSync(bytesOf(temporary), "w", mode);
  try {
    writeFileSync(fd, content);
    fsyncSync(fd);
    renameSync(bytesOf(temporary), bytesOf(path));
  } catch (error) {
    rmSync(bytesOf(temporary), { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  syncDirectory(path.slice(0, path.lastIndexOf("/")) as HostPath);
}
