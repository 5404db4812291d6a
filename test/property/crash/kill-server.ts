/**
 * A process that serves a mount as fuse/server/thread.ts does, and kills itself with SIGKILL right before the n-th change of
 * a layer, counted from the moment at which the mount is live. `killed-server.ts` bundles, starts and feeds it.
 */

import { readFileSync, writeSync } from "node:fs";
import { parseFuseOptions } from "../../../fuse/options.ts";
import { Counters } from "../../../fuse/server/counters.ts";
import { Server } from "../../../fuse/server/session.ts";
import { mountAt } from "../../../fuse/transports/mount.ts";
import { Union } from "../../../fuse/union/union.ts";
import { silentLogger } from "../../../src/log.ts";
import type { HostPath } from "../../../src/paths.ts";
import { SERVER_READY } from "../../../src/sys/fuse-device.ts";
import { beforeChange } from "./changes.ts";

/** On standard input. */
export interface KillTask {
  /** As `-o` takes them, a byte string. */
  readonly options: string;
  readonly target: HostPath;
  /** 0 is the first change. */
  readonly killAt: number;
}

const READY_FD = 3;

process.umask(0);
const { options, target, killAt } = JSON.parse(readFileSync(0, "utf8")) as KillTask;
const parsed = parseFuseOptions(options);
const union = new Union(parsed, silentLogger);
const device = mountAt(target, parsed);
let left = killAt;
beforeChange(() => {
  if (left-- <= 0) process.kill(process.pid, "SIGKILL");
  return false;
});
writeSync(READY_FD, SERVER_READY);
new Server(union, device, new Counters(), silentLogger).serve();
