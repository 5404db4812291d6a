/**
 * The process behind a mount (dist/fuse-server.cjs), started by `src/mount/fuse-server.ts`: it reads its task from
 * standard input, says on descriptor 3 that the mount is live or why it is not, and lives until it is unmounted.
 */

import { closeSync, readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { silentLogger } from "../../src/log.ts";
import type { HostPath } from "../../src/paths.ts";
import { dieWithParent } from "../../src/sys/become.ts";
import { SERVER_READY } from "../../src/sys/fuse-device.ts";
import { packError } from "../../src/thread-errors.ts";
import { serveMount, type Task, taskOf } from "./serve.ts";

const READY_FD = 3;

/** Byte strings, as `src/mount/fuse-server.ts` writes them. */
interface TaskText {
  readonly options: string;
  readonly target: HostPath;
  readonly directory: HostPath;
  readonly endsWithCaller: boolean;
}

function readTask(): Task {
  const { options, target, directory, endsWithCaller } = JSON.parse(readFileSync(0, "utf8")) as Partial<TaskText>;
  if (endsWithCaller === true) dieWithParent(constants.signals.SIGTERM);
  return taskOf(options ?? "", target ?? ("" as HostPath), directory ?? ("/" as HostPath));
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
