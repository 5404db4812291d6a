/**
 * A mount of `layerctl fuse` for tests. The server is a process of its own, and so is everything that uses the mount: a
 * process that waits for itself could not even be killed.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { realpathSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LAYERCTL } from "./layerctl.ts";
import { mountsBelow } from "./leftovers.ts";

const PATIENCE_MS = 20_000;

export interface FuseMount extends AsyncDisposable {
  readonly server: ChildProcess;
  /** Runs a script of sh(1) in the mount; what it said on both outputs. @throws if it fails, or does not end */
  sh(script: string): string;
  /** Unmounts, and waits for the server to end. */
  unmount(): Promise<void>;
}

/**
 * `await using mount = await mountFuse(options, target);` Killed and unmounted at the end, whatever state it is in.
 * `openFiles` is how many files the server may have open.
 */
export async function mountFuse(options: string, target: string, openFiles?: number): Promise<FuseMount> {
  const path = realpathSync(target);
  /** The target itself is not looked at: its server may be dead. */
  const mounts = (): number => mountsBelow(dirname(path)).filter((each) => each === path).length;
  const before = mounts();
  const limit = openFiles === undefined ? "" : `ulimit -n ${openFiles} &&`;
  const command = ["-c", `${limit} exec "$0" "$@"`, LAYERCTL, "fuse", "-f", "-o", options, target];
  const server = spawn("sh", command, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  server.stderr?.on("data", (chunk: Buffer) => {
    said += chunk;
  });
  const ended = once(server, "exit");
  for (const end = Date.now() + PATIENCE_MS; mounts() === before; await sleep(20)) {
    if (server.exitCode !== null || Date.now() > end) throw new Error(`layerctl fuse did not mount: ${said}`);
  }
  return {
    server,
    sh: (script) => runIn(target, script),
    async unmount() {
      spawnSync("umount", ["-i", target]);
      await ended;
    },
    async [Symbol.asyncDispose]() {
      server.kill("SIGKILL");
      await ended;
      if (mounts() > before) spawnSync("umount", ["-i", "-l", target]);
    },
  };
}

function runIn(directory: string, script: string): string {
  const command = 'cd "$0" && eval "$1"';
  const { status, signal, stdout } = spawnSync("sh", ["-c", `exec 2>&1; ${command}`, directory, script], {
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
    encoding: "latin1",
  });
  if (status !== 0) throw new Error(`exit ${status ?? signal}: ${script}\n${stdout}`);
  return stdout.trimEnd();
}
