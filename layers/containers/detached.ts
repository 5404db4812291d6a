/** Containers that outlive the command that started them: each has a monitor, a process of its own. */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { UnsupportedError } from "../../src/errors.ts";
import type { LogFields } from "../../src/log.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { type PackedError, unpackError } from "../../src/thread-errors.ts";
import type { Store } from "../store.ts";
import { type ContainerRequest, containerDirectory } from "./held.ts";

/** What a monitor is to do. */
export type MonitorTask = {
  readonly root: HostPath;
  /** Nothing is started before a client is attached, which then misses nothing. */
  readonly isAwaited?: boolean;
} & (
  | { readonly kind: "create"; readonly reference: string; readonly request: ContainerRequest }
  | { readonly kind: "start"; readonly name: string }
);

/**
 * A line of JSON each: "warned" is an event of its log, "waiting" the name of a container whose first client is awaited; one of
 * the others is the last.
 */
export type MonitorAnswer =
  | { readonly warned: string; readonly fields: LogFields }
  | { readonly waiting: string }
  | { readonly name: string }
  | { readonly error: PackedError };

/** Where the monitor writes them. */
export const ANSWER_FD = 3;

/** The file in the container's directory that has what it printed. */
export const LOG = "log";

/** The bundle has the monitor beside it; a checkout runs the source. */
const MONITOR = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./monitor.ts" : "./monitor.cjs", import.meta.url),
);

/** The log of a container, for `node:fs`. */
export function logPath(store: Store, id: number): Buffer {
  return bytesOf(joinHost(containerDirectory(store, id), LOG));
}

/**
 * Makes a container and starts it; the result is its name. Its command runs when this settles. With `attach`, that is called
 * before anything runs, and the command starts when it has attached a client.
 * @throws as `createContainer` and `runContainer`, `ERR_MONITOR` if the monitor ended without a word; what `attach` throws
 */
export function runDetached(
  store: Store,
  reference: string,
  request: ContainerRequest,
  attach?: Attach,
): Promise<string> {
  const { options, name, autoRemove } = request;
  const plain = { options, autoRemove, ...(name !== undefined && { name }) };
  return startMonitor(store, { kind: "create", root: store.layout.root, reference, request: plain }, attach);
}

/** Starts a container again, as `runDetached`. @throws as `holdContainer` and `runContainer`, `ERR_MONITOR` */
export function startDetached(store: Store, name: string, attach?: Attach): Promise<string> {
  return startMonitor(store, { kind: "start", root: store.layout.root, name }, attach);
}

export type Attach = (name: string) => void;

async function startMonitor(store: Store, task: MonitorTask, attach?: Attach): Promise<string> {
  const monitor = spawn(process.execPath, [MONITOR], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore", "pipe"],
    cwd: "/",
  });
  monitor.stdin?.on("error", () => {}); // a monitor that ended already says why, or nothing
  monitor.stdin?.end(JSON.stringify({ ...task, isAwaited: attach !== undefined } satisfies MonitorTask));
  for await (const line of createInterface({ input: monitor.stdio[ANSWER_FD] as Readable })) {
    const answer = JSON.parse(line) as MonitorAnswer;
    if ("warned" in answer) {
      store.logger.warn(answer.warned, answer.fields);
      continue;
    }
    if ("waiting" in answer) {
      attach?.(answer.waiting);
      continue;
    }
    monitor.unref();
    if ("name" in answer) return answer.name;
    throw unpackError(answer.error);
  }
  throw new UnsupportedError("ERR_MONITOR", "Cannot start the container: its monitor ended without saying why");
}
