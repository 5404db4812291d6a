/** The thread that unpacks layers: one at a time, as it is sent them. See `worker-pool.ts` for the other side. */

import { parentPort, workerData } from "node:worker_threads";
import { clearThreadUmask } from "../../src/sys/thread.ts";
import { packError } from "../../src/thread-errors.ts";
import { type UnpackTask, unpackLayer } from "./unpack-layer.ts";
import type { WorkerReply, WorkerShares } from "./worker-pool.ts";

const port = parentPort;
if (port === null) throw new Error("this module is the entry of a worker thread");

const shares = workerData as WorkerShares;
const progress = new BigUint64Array(shares.progress);
const stop = new Int32Array(shares.stop);
const watch = {
  onBytes: (count: number) => void Atomics.add(progress, 0, BigInt(count)),
  throwIfStopped: () => {
    if (Atomics.load(stop, 0) !== 0) throw new Error("stopped");
  },
};
clearThreadUmask();
// Not "online", which comes before this: a thread that is terminated while koffi loads takes the process with it.
port.postMessage("ready" satisfies WorkerReply);

port.on("message", async (task: UnpackTask) => {
  let reply: WorkerReply;
  try {
    const result = await unpackLayer(task, watch);
    reply = { result };
  } catch (error) {
    reply = { error: packError(error) };
  }
  port.postMessage(reply);
});
