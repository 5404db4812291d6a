/**
 * The process behind a mount (dist/fuse-server.cjs), started by `src/mount/fuse-server.ts`: it reads its task from
 * standard input, says on descriptor 3 that the mount is live or why it is not, and lives until it is unmounted.
 */

import { closeSync, readFileSync, writeSync } from "node:fs";
import { silentLogger } from "../../src/log.ts";
import type { HostPath } from "../../src/paths.ts";
import { SERVER_READY } from "../../src/sys/fuse-device.ts";
import { packError } from "../../src/thread-errors.ts";
import { serveMount, type Task, taskOf } from "./serve.ts";

const READY_FD = 3;

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
      writeSync(READY_FD, SERVER_READY);
      closeSync(READY_FD);
    });
  } catch (error) {
    if (!isReady) writeSync(READY_FD, JSON.stringify({ error: packError(error) }));
    process.exitCode = 1;
  }
}

void run();
