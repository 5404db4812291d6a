/** A small file system to fill up. */

import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, statfsSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../src/errors.ts";
import { hostPath } from "../../src/paths.ts";
import { MNT_DETACH, umount } from "../../src/sys/mount.ts";
import { temporaryDirectory } from "./temporary.ts";

export type DiskKind = "tmpfs" | "ext4";

export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** Takes all free space, to the last byte, and the blocks that are reserved for root. */
  fill(): void;
  /** Takes all free inodes. */
  takeInodes(): void;
}

/** `await using disk = smallDisk("ext4");` 32 MiB and 1,000 inodes of it, mounted in a temporary directory. */
export function smallDisk(kind: DiskKind): SmallDisk {
  const directory = temporaryDirectory();
  const [path, image] = [join(directory.path, "disk"), join(directory.path, "image")];
  mkdirSync(path);
  if (kind === "tmpfs") execFileSync("mount", ["-t", "tmpfs", "-o", "size=32m,nr_inodes=1000", "disk", path]);
  else {
    execFileSync("truncate", ["-s", "32M", image]);
    execFileSync("mkfs.ext4", ["-q", "-F", "-N", "1000", image]);
    execFileSync("mount", ["-o", "loop", image, path]);
  }
  let fills = 0;
  return {
    path,
    fill() {
      fills += 1;
      const fd = openSync(join(path, `fill-${fills}`), "w");
      for (const bytes of [1 << 20, 4096, 512, 1]) untilFull(() => writeSync(fd, Buffer.alloc(bytes)));
      closeSync(fd);
    },
    takeInodes() {
      fills += 1;
      const names = join(path, `inodes-${fills}`);
      mkdirSync(names);
      untilFull(() => writeFileSync(join(names, String(statfsSync(path).ffree)), ""));
    },
    async [Symbol.asyncDispose]() {
      umount(hostPath(path), MNT_DETACH);
      await directory[Symbol.asyncDispose]();
    },
  };
}

function untilFull(take: () => unknown): void {
  try {
    for (;;) take();
  } catch (error) {
    if (!isErrno(error, "ENOSPC")) throw error;
  }
}
