/** The thread that unmounts for a process whose main thread serves the mount. `serve-native.ts` is the other side. */

import { parentPort, workerData } from "node:worker_threads";
import type { UnmountTask } from "./serve.ts";
import { unmountTarget } from "./unmount-target.ts";

const { target } = workerData as UnmountTask;
unmountTarget(target, (reason) => parentPort?.postMessage(reason));
