/** Containers that outlive the command that started them: each has a monitor, a process of its own. */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { UnsupportedError } from "../../src/errors.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { type PackedError, unpackError } from "../../src/thread-errors.ts";
import type { Store } from "../store.ts";
import { type ContainerRequest, containerDirectory } from "./held.ts";

/** What a monitor is to do. */
export type MonitorTask = { readonly root: HostPath } & (
  | { readonly kind: "create"; readonly reference: string; readonly request: ContainerRequest }
  | { readonly kind: "start"; readonly name: string }
);

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
 * Makes a container and starts it; the result is its name. Its command runs when this settles.
 * @throws as `createContainer` and `runContainer`, `ERR_MONITOR` if the monitor ended without a word
 */
export function runDetached(store: Store, reference: string, request: ContainerRequest): Promise<string> {
  const { options, name, autoRemove } = request;
  const plain = { options, autoRemove, ...(name !== undefined && { name }) };
  return startMonitor({ kind: "create", root: store.layout.root, reference, request: plain });
}

/** Starts a container again. @throws as `holdContainer` and `runContainer`, `ERR_MONITOR` */
export function startDetached(store: Store, name: string): Promise<string> {
  return startMonitor({ kind: "start", root: store.layout.root, name });
}

async function startMonitor(task: MonitorTask): Promise<string> {
  const monitor = spawn(process.execPath, [MONITOR], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore", "pipe"],
    cwd: "/",
  });
  const answer = readAll(monitor.stdio[3] as NodeJS.ReadableStream);
  monitor.stdin?.on("error", () => {}); // a monitor that ended already says why, or nothing
  monitor.stdin?.end(JSON.stringify(task));
  const text = await answer;
  monitor.unref();
  const { name, error } = (text === "" ? {} : JSON.parse(text)) as {
    readonly name?: string;
    readonly error?: PackedError;
  };
  if (name !== undefined) return name;
  if (error !== undefined) throw unpackError(error);
  throw new UnsupportedError("ERR_MONITOR", "Cannot start the container: its monitor ended without saying why");
}

function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
    });
    stream.on("end", () => resolve(text));
    stream.on("error", reject);
  });
}
