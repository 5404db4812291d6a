/** The thread that answers the kernel. `serve.ts` is the other side. */

import { parentPort, workerData } from "node:worker_threads";
import type { LogFields, Logger } from "../../src/log.ts";
import { packError } from "../../src/thread-errors.ts";
import { mountAt } from "../transports/mount.ts";
import { Union } from "../union/union.ts";
import { Counters } from "./counters.ts";
import type { ThreadMessage, ThreadTask } from "./serve.ts";
import { Server } from "./session.ts";

const port = parentPort;
if (port === null) throw new Error("this module is the entry of a worker thread");
const { options, target, counters: shared, debug } = workerData as ThreadTask;

function say(message: ThreadMessage): void {
  port?.postMessage(message);
}

const logAs =
  (level: keyof Logger) =>
  (event: string, fields: LogFields = {}) =>
    say({ kind: "log", level, event, fields });
const log: Logger = {
  debug: debug ? logAs("debug") : () => {},
  info: logAs("info"),
  warn: logAs("warn"),
  error: logAs("error"),
};

try {
  const counters = new Counters(shared);
  using union = new Union(options, log);
  const device = mountAt(target, options);
  say({ kind: "ready" });
  new Server(union, device, counters, log).serve();
  say({ kind: "ended" });
} catch (error) {
  say({ kind: "failed", error: packError(error) });
}
// The event loop begins here. If a thread for copies was started and has ended before, node would wait for it for ever.
process.exit();
