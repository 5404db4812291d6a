/**
 * The process behind a mount (dist/fuse-server.cjs), started by `src/mount/fuse-server.ts`: it reads its task from
 * standard input, says on descriptor 3 how it went, and lives until it is unmounted.
 */

import { closeSync, readFileSync, writeSync } from "node:fs";
import { silentLogger } from "../../src/log.ts";
import type { HostPath } from "../../src/paths.ts";
import { type PackedError, packError } from "../../src/thread-errors.ts";
import { serveMount, type Task, taskOf } from "./serve.ts";

const READY_FD = 3;

/** The answer on descriptor 3: empty if the mount is live. */
export interface StartFailure {
  readonly error: PackedError;
}

function fail(error: unknown): void {
  const failure: StartFailure = { error: packError(error) };
  writeSync(READY_FD, JSON.stringify(failure));
}

/** `{"options", "target", "directory"}`: byte strings. */
function readTask(): Task {
  const { options, target, directory } = JSON.parse(readFileSync(0, "utf8")) as Record<string, string>;
  return taskOf(options ?? "", (target ?? "") as HostPath, (directory ?? "/") as HostPath);
}

/** Serves until the mount is gone; an error before it was live is told to who waits for it. */
async function run(): Promise<void> {
  let isReady = false;
  try {
    const task = readTask();
    process.chdir("/"); // a server keeps no directory busy but its layers
    await serveMount(task, silentLogger, () => {
      isReady = true;
      writeSync(READY_FD, "ready");
      closeSync(READY_FD);
    });
  } catch (error) {
    if (!isReady) fail(error);
    process.exitCode = 1;
  }
}

void run();
