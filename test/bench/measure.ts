/** Runs a line of bash and tells how long it took, and what it used. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ServerUsage, watchServer } from "./server-usage.ts";

export interface Measured {
  readonly wallSeconds: number;
  /** User and system time of everything waited for; NaN without /usr/bin/time. */
  readonly cpuSeconds: number;
  /** The largest process waited for; NaN likewise. */
  readonly peakMiB: number;
  /** Of the server of a FUSE mount, if one was asked for. */
  readonly server?: ServerUsage;
}

const TIME = "/usr/bin/time";

/** Runs untimed lines, which must succeed. */
export function prepare(script: string, env: NodeJS.ProcessEnv): void {
  if (script !== "") runBash(["bash", "-ec", script], script, env);
}

/** Runs untimed lines whose failure does not matter: something may be gone already. */
export function cleanUp(script: string, env: NodeJS.ProcessEnv): void {
  if (script !== "") spawnSync("bash", ["-c", script], { env, stdio: "ignore" });
}

/** Runs and times a line, whose output goes nowhere, and measures the server of the mount at `serves` meanwhile. */
export function measure(script: string, env: NodeJS.ProcessEnv, serves?: string): Measured {
  const ended = serves === undefined ? null : watchServer(join(env.W ?? "", serves));
  const report = join(env.W ?? "", "time.txt");
  const timed = existsSync(TIME)
    ? [TIME, "-f", "%U %S %M", "-o", report, "bash", "-c", script]
    : ["bash", "-c", script];
  const start = process.hrtime.bigint();
  runBash(timed, script, env);
  const wallSeconds = Number(process.hrtime.bigint() - start) / 1e9;
  const measured = { wallSeconds, ...(ended !== null && { server: ended() }) };
  if (!existsSync(TIME)) return { ...measured, cpuSeconds: Number.NaN, peakMiB: Number.NaN };
  const [user = 0, system = 0, peakKiB = 0] = readFileSync(report, "utf8").trim().split(" ").map(Number);
  return { ...measured, cpuSeconds: user + system, peakMiB: peakKiB / 1024 };
}

function runBash([program = "", ...args]: readonly string[], script: string, env: NodeJS.ProcessEnv): void {
  const { status, signal, stderr } = spawnSync(program, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  if (signal !== null) throw new Error(`stopped by ${signal}: ${script}`);
  if (status !== 0) throw new Error(`exit ${status}: ${script}\n${stderr.toString().slice(-2000)}`);
}
