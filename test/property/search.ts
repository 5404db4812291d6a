/** Looks for a case that fails, batch after batch, and for the smallest case that still fails. */

import fc from "fast-check";
import type { HostPath } from "../../src/paths.ts";
import { type Finding, tryBatch } from "./batch.ts";
import { knownOf } from "./differences.ts";
import { type Case, casesOf, crashesOf } from "./generate/case.ts";
import { smallerThan } from "./shrink.ts";
import type { Subject } from "./subjects.ts";

export interface SearchOptions {
  readonly subject: Subject;
  /** The most cases. */
  readonly runs: number;
  /** Of the first batch; each further one has the next. */
  readonly seed: number;
  /** No batch is begun after this time, in milliseconds since the epoch. */
  readonly untilMs: number;
  /** How long to look for smaller cases. */
  readonly shrinkMs: number;
  /** Where cases are laid out. */
  readonly directory: HostPath;
  /** If given, it gets what is found and the seed of its batch, and the search goes on. */
  readonly onFinding?: (failing: Case, finding: Finding, seed: number) => void;
}

export interface Failure {
  /** Of the batch in which it was found. */
  readonly seed: number;
  readonly found: Case;
  readonly smallest: Case;
  /** What is wrong with the smallest. */
  readonly finding: Finding;
  readonly smallerTried: number;
}

export interface Searched {
  readonly cases: number;
  /** Cases that failed as is known of the subject. */
  readonly known: number;
  readonly failure: Failure | null;
}

/** What the cases of a batch are made by. */
function arbitraryOf({ subject }: SearchOptions, seed: number): fc.Arbitrary<Case> {
  return subject.crashes ? crashesOf(seed) : casesOf(seed);
}

/** Stops at the first failure that is not known. */
export async function search(options: SearchOptions): Promise<Searched> {
  const { subject, runs, untilMs, directory } = options;
  let [cases, known] = [0, 0];
  for (let seed = options.seed; cases < runs && Date.now() < untilMs; seed++) {
    const batch = fc.sample(arbitraryOf(options, seed), { seed, numRuns: Math.min(subject.batch, runs - cases) });
    const findings = await tryBatch(subject, batch, directory);
    for (const [index, finding] of findings.entries()) {
      const failing = batch[index];
      if (finding === null || failing === undefined) continue;
      if (isKnown(options, failing, finding)) known += 1;
      else if (options.onFinding !== undefined) options.onFinding(failing, finding, seed);
      else {
        const smallest = await shrink(options, failing, finding);
        return { cases: cases + index + 1, known, failure: { seed, found: failing, ...smallest } };
      }
    }
    cases += batch.length;
  }
  return { cases, known, failure: null };
}

/** Goes to the first smaller case that fails, and on from there: as many are tried at a time as a batch has. */
async function shrink(options: SearchOptions, failing: Case, first: Finding): Promise<Omit<Failure, "seed" | "found">> {
  const untilMs = Date.now() + options.shrinkMs;
  let [smallest, finding, smallerTried] = [failing, first, 0];
  for (let isSmaller = true; isSmaller; ) {
    isSmaller = false;
    const smaller = smallerThan(smallest);
    while (!isSmaller && Date.now() < untilMs) {
      const batch = next(smaller, options.subject.batch);
      if (batch.length === 0) break;
      smallerTried += batch.length;
      const findings = await tryBatch(options.subject, batch, options.directory);
      const at = findings.findIndex((each, index) => each !== null && !isKnown(options, batch[index], each));
      const [failed, found] = [batch[at], findings[at]];
      if (failed === undefined || found === undefined || found === null) continue;
      [smallest, finding, isSmaller] = [failed, found, true];
    }
  }
  return { smallest, finding, smallerTried };
}

/** The next of an iterator, at most `count`. */
function next<Item>(items: Iterator<Item>, count: number): readonly Item[] {
  const some: Item[] = [];
  while (some.length < count) {
    const { value, done } = items.next();
    if (done) break;
    some.push(value);
  }
  return some;
}

function isKnown({ subject }: SearchOptions, failing: Case | undefined, finding: Finding): boolean {
  return failing !== undefined && knownOf(subject.name).some(({ explains }) => explains?.(failing, finding));
}
