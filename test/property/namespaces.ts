/**
 * Where a run goes on: in namespaces of its own. Nobody else's copy keeps its mounts in use, and when its first process
 * ends, however that is, the kernel ends all others, whether they are in the background or stuck in a call: then nothing is
 * mounted any more.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { constants } from "node:os";

/** The first process is a shell: it waits for what has gone into the background too. */
const FIRST = ["sh", "-c", '"$@" & wait $!', "sh"];

/** Runs a command and waits for it. A signal ends all that there is. Its exit code; 128 and more after a signal. */
export async function runInNamespaces(
  command: readonly string[],
  { isUser, env }: { readonly isUser: boolean; readonly env: NodeJS.ProcessEnv },
): Promise<number> {
  const user = isUser ? ["--user", "--map-root-user"] : [];
  const flags = [...user, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const child = spawn("unshare", [...flags, ...FIRST, ...command], { stdio: "inherit", env });
  let signalled: NodeJS.Signals | null = null;
  const stop = (signal: NodeJS.Signals): void => {
    signalled = signal;
    for (const pid of childrenOf(child.pid ?? 0)) process.kill(pid, "SIGKILL");
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, stop);
  const [code] = (await once(child, "exit")) as [number | null];
  for (const signal of signals) process.off(signal, stop);
  return signalled === null ? (code ?? 1) : 128 + constants.signals[signalled];
}

function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1");
  return text
    .split(" ")
    .filter((word) => word !== "")
    .map(Number);
}
