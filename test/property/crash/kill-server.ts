/**
 * Preloaded into a FUSE server, the real one: kills it with SIGKILL right before the n-th change of a layer, counted from the
 * moment at which the mount is live.
 */

import { beforeChange, insert, KILL_AT } from "./changes.ts";

declare global {
  var isLive: boolean | undefined;
}

insert({ file: "/fuse/server/thread.ts", before: 'say({ kind: "ready" });', inserted: "globalThis.isLive = true;" });

let left = Number(process.env[KILL_AT]);
beforeChange(() => {
  if (globalThis.isLive === true && left-- <= 0) process.kill(process.pid, "SIGKILL");
  return false;
});
