/**
 * A journaled ext4 of its own for a benchmark: a preallocated file on a loop device with direct I/O. What else is on the
 * machine's disk, and how its file system is made, then matters less.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mountsBelow } from "../helpers/leftovers.ts";

export interface Workplace extends Disposable {
  readonly path: string;
  /** What to print of it. */
  readonly description: string;
}

/** The mounted file system. Disposing unmounts everything in it, and removes it. */
export function journaledWorkplace(sizeGiB: number): Workplace {
  const directory = mkdtempSync(join(tmpdir(), "layerctl-bench-"));
  const image = join(directory, "ext4.img");
  const path = join(directory, "mounted");
  let device = "";
  const dispose = (): void => {
    for (const target of mountsBelow(directory).toReversed()) run("umount", "-i", "-l", target);
    if (device !== "") run("losetup", "--detach", device);
    run("rm", "-rf", "--one-file-system", directory);
  };
  try {
    mkdirSync(path);
    run("fallocate", "-l", `${sizeGiB}GiB`, image);
    run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image);
    device = run("losetup", "--find", "--show", "--direct-io=on", image);
    run("mount", "-t", "ext4", "-o", "noatime", device, path);
  } catch (error) {
    dispose();
    throw error;
  }
  return { path, description: `journaled ext4 of ${sizeGiB} GiB on ${device}`, [Symbol.dispose]: dispose };
}

function run(program: string, ...args: readonly string[]): string {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  return execFileSync(program, args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "inherit"] }).trimEnd();
}
