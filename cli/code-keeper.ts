/**
 * Keeps what V8 compiled for a command, so that the next start of it compiles nothing (dist/code-keeper.cjs; start.ts reads
 * it). Node's own compile cache has what was compiled when a file was loaded: nearly all functions are when they are called.
 *
 * Invariant: a file under its name is whole, also after a power cut, for V8 does not check what it reads.
 */

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Script } from "node:vm";

const DAY_MS = 86_400_000;
/** What no start has read for so long is of another version. */
const KEPT_DAYS = 30;

/** What is less than this is not worth to be written. */
const LEAST_GROWTH_BYTES = 16 * 1024;

/**
 * When the process ends, and its command was done, the code of `script` is at `path`, where that is possible and it is more
 * than the `keptBytes` of it that are there.
 */
export function keepCode(script: Script, path: string, keptBytes: number): void {
  process.on("exit", (exitCode) => {
    if (exitCode !== 0) return; // perhaps there is no such command
    try {
      write(script, path, keptBytes);
      removeUnread(dirname(path));
    } catch {} // no room, or a file system that cannot be written: then the next start compiles too
  });
}

function write(script: Script, path: string, keptBytes: number): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}`;
  const fd = openSync(temporary, "wx", 0o600); // before the work, which is in vain where nothing can be written
  try {
    const code = script.createCachedData();
    if (code.length < keptBytes + LEAST_GROWTH_BYTES) return;
    writeFileSync(fd, code);
    fsyncSync(fd);
    renameSync(temporary, path);
  } finally {
    closeSync(fd);
    rmSync(temporary, { force: true });
  }
}

function removeUnread(directory: string): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const stat = statSync(path);
    if (stat.isFile() && Date.now() - stat.atimeMs > KEPT_DAYS * DAY_MS) unlinkSync(path);
  }
}
