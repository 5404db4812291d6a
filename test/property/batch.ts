/** Tries the properties on a batch of cases, which share a mount, and says of each case what was found first. */

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import type { Scene } from "../conformance/scene.ts";
import { tryCrashes } from "./crash/crashes.ts";
import { type KnownDifference, knownOf, readAs } from "./differences.ts";
import { observe, outcomeOf } from "./file-system.ts";
import type { Case } from "./generate/case.ts";
import { apply } from "./model/apply.ts";
import { callText, type Step } from "./model/call.ts";
import { merged } from "./model/layers.ts";
import { linesOf, type Tree } from "./model/tree.ts";
import { AFTERWARDS, stampsOf } from "./properties.ts";
import { directoryOf, layOut } from "./scene.ts";
import type { Subject } from "./subjects.ts";
import { SystemCalls } from "./system-calls.ts";
import type { Ran } from "./work.ts";

/** The first thing about a case that is not as it should be. */
export interface Finding {
  /** In words. */
  readonly property: string;
  readonly expected: string;
  readonly found: string;
  /** The call that answered wrongly; null if it was no call. */
  readonly step: Step | null;
  /** What shows it, where that is not the mount itself: another mount, an image of the diff, layers made one. */
  readonly shownBy?: "elsewhere" | "store" | "squash" | undefined;
  /** After a crash: what the tree may be. */
  readonly stages?: readonly Tree[];
}

/** A case that was run: what the model says of it. */
export interface Judged {
  readonly before: Tree;
  readonly after: Tree;
  readonly finding: Finding | null;
}

let batches = 0;

/** Runs a batch below `directory`, where nothing of it is left. Findings in the order of the cases. */
export async function tryBatch(
  subject: Subject,
  cases: readonly Case[],
  directory: HostPath,
  known: readonly KnownDifference[] = knownOf(subject.name),
): Promise<readonly (Finding | null)[]> {
  if (subject.crashes) return await tryCrashes(subject, cases, directory, known);
  batches += 1;
  const place = joinHost(directory, `batch${batches}`);
  mkdirSync(bytesOf(place));
  try {
    const plain = layOut(
      place,
      cases.map(({ layers }) => layers),
      subject.namespace,
    );
    const scene = (await subject.prepare?.(plain)) ?? plain;
    return await tryScene(subject, cases, scene, known);
  } catch (error) {
    if (cases.length === 1) return [brokenBy(error)];
  } finally {
    execFileSync("rm", ["-rf", "--one-file-system", place]);
  }

  // Which case it is that breaks all of it: half of them at a time.
  const middle = cases.length >> 1;
  const first = await tryBatch(subject, cases.slice(0, middle), directory, known);
  return [...first, ...(await tryBatch(subject, cases.slice(middle), directory, known))];
}

function brokenBy(error: unknown): Finding {
  return { property: "nothing breaks", expected: "an end", found: String(error).split("\n")[0] ?? "", step: null };
}

async function tryScene(
  subject: Subject,
  cases: readonly Case[],
  scene: Scene,
  known: readonly KnownDifference[],
): Promise<readonly (Finding | null)[]> {
  const sinceMs = Date.now() - 20; // the clock of files is a tick behind
  const stamps = stampsOf(scene.lowerdirs);
  const jobs = cases.map(({ program }, index) => ({ directory: directoryOf(index), program }));
  const ran = await runOnce(subject, scene, sinceMs, jobs);
  const judged = cases.map((each, index) => judge(each, index, ran[index], scene, sinceMs, subject, known));
  if (!subject.isUnion) return judged.map(({ finding }) => finding);
  const findings = judged.map(({ finding }) => finding);
  for (const { look, shownBy } of AFTERWARDS) {
    const found = await look({ subject, scene, sinceMs, cases, judged, stamps, known });
    for (const [index, finding] of found) findings[index] ??= { ...finding, shownBy };
  }
  return findings;
}

async function runOnce(
  subject: Subject,
  scene: Scene,
  sinceMs: number,
  jobs: readonly { directory: string; program: readonly Step[] }[],
): Promise<readonly Ran[]> {
  await using opened = await subject.open(scene, sinceMs);
  return await opened.run(jobs);
}

/** Compares what a subject did with the oracle, and the model with the oracle. */
function judge(
  { layers, program }: Case,
  index: number,
  ran: Ran | undefined,
  { twin }: Scene,
  sinceMs: number,
  { isUnion }: Subject,
  known: readonly KnownDifference[],
): Judged {
  const before = merged(layers);
  const oracle = new SystemCalls(joinHost(twin, directoryOf(index)), sinceMs);
  let after = before;
  let finding: Finding | null = null;
  const differ = (property: string, expected: string, found: string, step: Step | null = null): void => {
    if (expected !== found) finding ??= { property, expected, found, step };
  };
  const differLines = (property: string, expected: readonly string[], found: readonly string[]): void => {
    const difference = lineDifference(expected, found, known);
    if (difference !== null) differ(property, ...difference);
  };
  if (ran === undefined) {
    return { before, after, finding: { property: ANSWERS, expected: "an answer", found: "none", step: null } };
  }
  differLines(MERGES, linesOf(before), ran.start);
  for (const [at, step] of program.entries()) {
    const found = readAs(known, ran.outcomes[at] ?? "none");
    if (known.some(({ refuses }) => refuses?.(step, found))) continue;
    const expected = isUnion ? outcomeOf(oracle, step) : found;
    const { tree, outcome } = apply(after, step);
    after = tree;
    differ(MODEL, expected, outcome, step);
    differ(`${CALLS} (${callText(step)})`, expected, found, step);
  }
  const end = isUnion ? observe(oracle) : ran.end;
  differLines(MODEL, end, linesOf(after));
  differLines(TREES, end, ran.end);
  return { before, after, finding };
}

const ANSWERS = "it answers";
const MERGES = "the layers show the merged tree";
const MODEL = "the model says what a plain directory does";
const CALLS = "a call answers as in a plain directory";
const TREES = "the tree is in the end as a plain directory";

/** A line of each that the other has not; null if none is left of those that are compared. */
export function lineDifference(
  expected: readonly string[],
  found: readonly string[],
  known: readonly KnownDifference[],
): readonly [missing: string, surplus: string] | null {
  const lines = found.map((line) => readAs(known, line));
  const [there, seen] = [new Set(expected), new Set(lines)];
  const missing = expected.find((line) => !seen.has(line));
  const surplus = lines.find((line) => !there.has(line) && !known.some(({ ignores }) => ignores?.(line)));
  return missing === undefined && surplus === undefined ? null : [missing ?? "nothing else", surplus ?? "nothing else"];
}
