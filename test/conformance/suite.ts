/**
 * Runs groups of checks against a subject and says what became of each. The checks run in a process of their own, one a
 * group, which is killed when it takes too long: a file system that hangs hangs that process and not this one.
 */

import { spawn } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import type { Group } from "./check.ts";
import type { Report } from "./checks-process.ts";
import { firstDifference, treeLines } from "./listing.ts";
import { layOut, type Scene } from "./scene.ts";
import { killServers, mountInKernel, type Subject, unmount } from "./subject.ts";

const CHECKS_PROCESS = fileURLToPath(new URL("checks-process.ts", import.meta.url));
const GROUP_PATIENCE_MS = 60_000;
const KILL_PATIENCE_MS = 2_000;
/** After so many checks that had to be killed no more is expected of a group. */
const MOST_KILLED = 2;

/** What became of one check. */
export interface Outcome {
  readonly group: string;
  readonly check: string;
  readonly state: "passed" | "failed" | "skipped";
  /** The first difference, or why it was skipped. */
  readonly reason: string;
}

/** What every union file system owes, whatever the group: checked from outside, after its checks. */
export const AFTERWARDS = {
  lower: "the lower layers are as they were",
  kernel: "mounted in the kernel, the upperdir shows the same tree",
} as const;

/** Makes the checks of all groups, each in a fresh mount; a group gets `patienceMs`. Nothing is left of them. */
export async function runSuite(
  subject: Subject,
  groups: readonly Group[],
  patienceMs = GROUP_PATIENCE_MS,
): Promise<readonly Outcome[]> {
  await using directory = temporaryDirectory();
  chmodSync(directory.path, 0o755); // other users are to reach the trees
  const outcomes: Outcome[] = [];
  for (const group of groups) {
    const scene = layOut(group, directory.host(group.name));
    outcomes.push(...(await runGroup(subject, group, scene, patienceMs)));
  }
  return outcomes;
}

async function runGroup(subject: Subject, group: Group, scene: Scene, patienceMs: number): Promise<readonly Outcome[]> {
  const layers = joinHost(scene.directory, "lower");
  const before = subject.isUnion ? treeLines(layers) : [];
  const reports: Report[] = [];
  const listing = subject.isUnion ? joinHost(scene.directory, "listing.json") : null;
  try {
    await using _ = await subject.start(scene);
    await runChecks({ group, scene, listing, reports, patienceMs });
  } finally {
    unmount(scene.target);
  }
  const outcomes = group.checks.map(({ name }) => outcomeOf(group, name, reports));
  if (listing === null) return outcomes;
  const after = (check: string, difference: string | null): Outcome => ({
    group: group.name,
    check,
    state: difference === null ? "passed" : "failed",
    reason: difference ?? "",
  });
  return [
    ...outcomes,
    after(AFTERWARDS.lower, firstDifference(before, treeLines(layers))),
    after(AFTERWARDS.kernel, differenceInKernel(subject, scene, listing)),
  ];
}

function outcomeOf(group: Group, check: string, reports: readonly Report[]): Outcome {
  const last = reports.findLast((report) => report.check === check);
  if (last !== undefined && last.state !== "begun") {
    return { group: group.name, check, state: last.state, reason: "reason" in last ? last.reason : "" };
  }
  const reason =
    last === undefined ? "not reached: a check before it did not end" : "it did not end, or ended the process";
  return { group: group.name, check, state: "failed", reason };
}

/** The checks of one group under way. */
interface Run {
  readonly group: Group;
  readonly scene: Scene;
  /** The file for what the tree looks like in the end. */
  readonly listing: HostPath | null;
  readonly reports: Report[];
  readonly patienceMs: number;
}

/** Fills `reports`. After a check that ends its process, or has to be ended, the next one begins another. */
async function runChecks(run: Run): Promise<void> {
  const { group, reports } = run;
  let killed = 0;
  for (let next = 0; next < group.checks.length; ) {
    const end = await runProcess(run, next);
    if (end === "stuck" || (end === "killed" && ++killed === MOST_KILLED)) return;
    const last = reports.findLast((report) => report.state === "begun");
    const reached = group.checks.findIndex(({ name }) => name === last?.check) + 1;
    if (reached <= next && end === "killed") return; // it never came to a check
    if (reached <= next) throw new Error(`the process of the checks ${group.name} ended before check ${next}`);
    next = reached;
  }
}

/** One process, from the check `first` on. "stuck" if it could not be killed before the file system's servers were. */
async function runProcess(run: Run, first: number): Promise<"ended" | "killed" | "stuck"> {
  const { group, scene, listing, reports, patienceMs } = run;
  const args = [CHECKS_PROCESS, group.name, String(first), scene.target, scene.twin, listing ?? ""];
  // Each group's process loads the same files: compiled once they take a quarter of the time.
  const env = { ...process.env, NODE_COMPILE_CACHE: joinHost(scene.directory, "..", "compiled") };
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], cwd: "/", env });
  const closed = new Promise<true>((resolve) => void child.once("close", () => resolve(true)));
  createInterface(child.stdout).on("line", (line) => void reports.push(JSON.parse(line) as Report));
  if (await within(patienceMs, closed)) return "ended";
  child.kill("SIGKILL");
  if (await within(KILL_PATIENCE_MS, closed)) return "killed";
  killServers(scene.target); // what waits for an answer of theirs gets an error
  await within(KILL_PATIENCE_MS, closed);
  child.stdout.destroy();
  return "stuck";
}

/** What `promise` gives, or false if that takes longer. */
async function within(ms: number, promise: Promise<true>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Mounts the layers that a subject has left in the kernel, and compares with what the subject showed of them. */
function differenceInKernel(subject: Subject, scene: Scene, listing: HostPath): string | null {
  try {
    const shown = JSON.parse(readFileSync(bytesOf(listing), "utf8")) as readonly string[];
    mountInKernel(scene);
    return firstDifference(shown, treeLines(scene.target, subject.timeStepNs));
  } catch (error) {
    return `the tree cannot be listed: ${String(error).split("\n")[0]}`;
  } finally {
    unmount(scene.target);
  }
}
