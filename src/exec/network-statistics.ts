/** What went through the network of a container: /proc/PID/net/dev of its namespace (proc_pid_net(5)). */

import { readlinkSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { readFileOrNull } from "./cgroup/files.ts";

export interface NetworkStatistics {
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** Of all interfaces but the loopback; null if process `pid` has ended, or has this process's own network. */
export function networkStatistics(pid: number): NetworkStatistics | null {
  const theirs = namespaceOf(String(pid));
  if (theirs === null || theirs === namespaceOf("self")) return null;
  const text = readFileOrNull(`/proc/${pid}/net/dev`);
  if (text === null) return null;
  const interfaces = [...text.matchAll(/^\s*([^\s:]+):\s*(\d+)(?:\s+\d+){7}\s+(\d+)/gm)].filter(
    ([, name]) => name !== "lo",
  );
  return interfaces.reduce<NetworkStatistics>(
    ({ receivedBytes, sentBytes }, [, , received, sent]) => ({
      receivedBytes: receivedBytes + Number(received),
      sentBytes: sentBytes + Number(sent),
    }),
    { receivedBytes: 0, sentBytes: 0 },
  );
}

function namespaceOf(pid: string): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES")) return null;
    throw error;
  }
}
