/** The thread that unpacks layers: one at a time, as it is sent them. See `worker-pool.ts` for the other side. */

import { parentPort, workerData } from "node:worker_threads";
import { clearThreadUmask } from "../../src/sys/thread.ts";
import { packError } from "../thread-errors.ts";
import { type UnpackTask, unpackLayer } from "./unpack-layer.ts";
import type { WorkerReply } from "./worker-pool.ts";

const port = parentPort;
if (port === null) throw new Error("this module is the entry of a worker thread");

/** Bytes read so far by all workers of the pool. */
const progress = new BigUint64Array((workerData as { progress: SharedArrayBuffer }).progress);
clearThreadUmask();

port.on("message", async (task: UnpackTask) => {
  let reply: WorkerReply;
  try {
    const result = await unpackLayer(task, (count) => {
      Atomics.add(progress, 0, BigInt(count));
    });
    reply = { result };
  } catch (error) {
    reply = { error: packError(error) };
  }
  port.postMessage(reply);
});
