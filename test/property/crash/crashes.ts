/**
 * (8): the server of a mount is killed somewhere in a program. Whatever it was about to do, its upperdir can be mounted, by us
 * and by the kernel, and shows the tree before or after the call that was on its way; and a program can go on there.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { bytesOf, type HostPath, joinHost } from "../../../src/paths.ts";
import { listDirectory } from "../../../src/sys/directory.ts";
import type { Scene } from "../../conformance/scene.ts";
import { type Finding, lineDifference } from "../batch.ts";
import { type KnownDifference, knownOf } from "../differences.ts";
import type { Case } from "../generate/case.ts";
import { UnionCalls } from "../in-process/union-calls.ts";
import { apply } from "../model/apply.ts";
import { callText, type Outcome, type Step } from "../model/call.ts";
import { merged } from "../model/layers.ts";
import { stagesOf } from "../model/stages.ts";
import { linesOf, type Tree } from "../model/tree.ts";
import { stampsOf } from "../properties.ts";
import { directoryOf, layOut } from "../scene.ts";
import { openUnion, otherThan, type Subject } from "../subjects.ts";
import { work } from "../work.ts";

/** What a call to a mount whose server is gone answers. */
const GONE: readonly Outcome[] = ["ENOTCONN", "ECONNABORTED"];

let batches = 0;

/** Runs each case in a mount of its own, below `directory`, where nothing of it is left. */
export async function tryCrashes(
  subject: Subject,
  cases: readonly Case[],
  directory: HostPath,
  known: readonly KnownDifference[],
): Promise<readonly (Finding | null)[]> {
  batches += 1;
  const place = joinHost(directory, `crashes${batches}`);
  const findings: (Finding | null)[] = [];
  try {
    for (const [at, each] of cases.entries()) {
      const own = joinHost(place, `case${at}`);
      mkdirSync(bytesOf(own), { recursive: true });
      findings.push(await tryCrash(subject, each, own, known));
    }
  } finally {
    execFileSync("rm", ["-rf", "--one-file-system", place]);
  }
  return findings;
}

async function tryCrash(
  subject: Subject,
  failing: Case,
  place: HostPath,
  known: readonly KnownDifference[],
): Promise<Finding | null> {
  const scene = layOut(place, [failing.layers], subject.namespace);
  const sinceMs = Date.now() - 20; // the clock of files is a tick behind
  const stamps = stampsOf(scene.lowerdirs);
  const crash = afterCrash(failing, await runUntilKilled(subject, failing, scene, sinceMs), known);
  if (crash === null) return null; // the calls before it are the business of the other properties
  const state = { subject, scene, sinceMs, failing, crash };
  // A kernel that comes first finds what the server has left in the workdir, and so does ours.
  const looks = (failing.killAt ?? 0) % 2 === 0 ? [lookOurs, lookElsewhere] : [lookElsewhere, lookOurs];
  for (const look of [...looks, goesOn]) {
    const finding = await look(state).catch((error: unknown) => notMounted(crash, error));
    if (finding !== null) return { ...finding, stages: crash.stages };
  }
  const touched = [...stampsOf(scene.lowerdirs)].find(([path, stamp]) => stamps.get(path) !== stamp);
  if (touched === undefined) return null;
  const [path, found] = touched;
  return { property: "the lower layers are never written", expected: stamps.get(path) ?? "nothing", found, step: null };
}

/**
 * How many calls at the end of a program the server is there for that is killed; those before are made in a mount that ends
 * well. One makes hardly more changes than a few; where it is killed after more, others come before it.
 */
export function lastCalls({ killAt = 0 }: Case): number {
  return killAt < 10 ? 1 : 3;
}

async function runUntilKilled(
  subject: Subject,
  failing: Case,
  scene: Scene,
  sinceMs: number,
): Promise<readonly Outcome[]> {
  const { program, killAt } = failing;
  const last = lastCalls(failing);
  const before = outcomesBefore(subject, program.slice(0, -last), scene, sinceMs);
  await using opened = await subject.open(scene, sinceMs, killAt);
  const [ran] = await opened.run([{ directory: directoryOf(0), program: program.slice(-last) }]);
  return [...before, ...(ran?.outcomes ?? [])];
}

function outcomesBefore(
  { namespace }: Subject,
  program: readonly Step[],
  scene: Scene,
  sinceMs: number,
): readonly Outcome[] {
  if (program.length === 0) return [];
  using union = openUnion(scene, namespace);
  return work(new UnionCalls(union, directoryOf(0), sinceMs), program).outcomes;
}

/** Where a program was when the server was gone. */
interface Crash {
  /** What the tree may be. */
  readonly stages: readonly Tree[];
  /** The call that was on its way; null if all were done. */
  readonly step: Step | null;
  /** It, and those after it. */
  readonly rest: readonly Step[];
}

/** Null if a call before the crash was answered wrongly. */
function afterCrash(
  { layers, program }: Case,
  outcomes: readonly Outcome[],
  known: readonly KnownDifference[],
): Crash | null {
  let tree = merged(layers);
  for (const [at, step] of program.entries()) {
    const found = outcomes[at] ?? "none";
    if (GONE.includes(found)) return { stages: stagesOf(tree, step), step, rest: program.slice(at) };
    if (known.some(({ refuses }) => refuses?.(step, found))) continue;
    const { tree: after, outcome } = apply(tree, step);
    if (withoutLinks(outcome) !== withoutLinks(found)) return null;
    tree = after;
  }
  return { stages: [tree], step: null, rest: [] };
}

interface Crashed {
  readonly subject: Subject;
  readonly scene: Scene;
  readonly sinceMs: number;
  readonly failing: Case;
  readonly crash: Crash;
}

/** Our union on what is left: it shows one of the trees, and has tidied up. */
async function lookOurs({ subject, scene, sinceMs, crash }: Crashed): Promise<Finding | null> {
  using union = openUnion(scene, subject.namespace);
  const left = listDirectory(joinHost(scene.workdir, "work")).map(({ name }) => name);
  if (left.length > 0) return { property: TIDY, expected: "", found: left.join(" "), step: crash.step };
  const { start } = work(new UnionCalls(union, directoryOf(0), sinceMs), []);
  if (crash.stages.some((tree) => differenceOf(tree, start) === null)) return null;
  return notAStage(crash, start, "after a crash the tree is that before or after the call");
}

/** The call that was on its way is made again, and those after it. */
async function goesOn({ subject, scene, sinceMs, crash }: Crashed): Promise<Finding | null> {
  using union = openUnion(scene, subject.namespace);
  const calls = new UnionCalls(union, directoryOf(0), sinceMs);
  const { start, outcomes, end } = work(calls, crash.rest);
  let tree = crash.stages.find((stage) => differenceOf(stage, start) === null);
  if (tree === undefined)
    return notAStage(crash, start, "after a crash and a mount the tree is that before or after the call");
  for (const [at, step] of crash.rest.entries()) {
    const { tree: after, outcome } = apply(tree, step);
    const found = outcomes[at] ?? "none";
    if (found === "EXDEV") continue;
    if (withoutLinks(outcome) !== withoutLinks(found)) {
      return { property: `after a crash a program goes on (${callText(step)})`, expected: outcome, found, step };
    }
    tree = after;
  }
  const difference = differenceOf(tree, end);
  if (difference === null) return null;
  return { property: "after a crash a program goes on", expected: difference[0], found: difference[1], step: null };
}

const TIDY = "nothing is left in the workdir of a new mount";

/** Another file system on what is left. */
async function lookElsewhere({ subject, scene, sinceMs, failing, crash }: Crashed): Promise<Finding | null> {
  const other = otherThan(subject);
  const property = "after a crash another file system shows the tree before or after the call";
  await using opened = await other.open(scene, sinceMs);
  const [ran] = await opened.run([{ directory: directoryOf(0), program: [] }]);
  const known = knownOf(other.name);
  const lines = (ran?.start ?? ["no answer"]).filter((line) => !known.some(({ ignores }) => ignores?.(line)));
  if (crash.stages.some((tree) => differenceOf(tree, lines) === null)) return null;
  const finding = notAStage(crash, lines, property);
  return known.some(({ explains }) => explains?.(failing, finding)) ? null : finding;
}

function notMounted({ step }: Crash, error: unknown): Finding {
  const found = String(error).split("\n")[0] ?? "";
  return { property: "after a crash the upperdir can be mounted", expected: "a mount", found, step };
}

/** How the tree differs from the nearest that it may be. */
function notAStage({ stages, step }: Crash, lines: readonly string[], property: string): Finding {
  const there = new Set(lines);
  const missing = (tree: Tree): number => linesOf(tree).filter((line) => !there.has(line)).length;
  const [nearest] = [...stages].sort((a, b) => missing(a) - missing(b));
  const [expected, found] = (nearest === undefined ? null : differenceOf(nearest, lines)) ?? ["", ""];
  return { property, expected, found, step };
}

/**
 * The times of directories are not compared: what is moved into one sets its time, which is put back when the move was of a
 * copy, in a second step; no file system has one step for both.
 */
function differenceOf(tree: Tree, lines: readonly string[]): readonly [missing: string, surplus: string] | null {
  const timeless = (line: string): string => line.replace(/^(\S*\/ \d+ \d+:\d+) @\S+/, "$1");
  return lineDifference(linesOf(tree).map(timeless), lines.map(timeless), []);
}

function withoutLinks(outcome: Outcome): Outcome {
  return outcome.replace(/ links \d+/, "");
}
