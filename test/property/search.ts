/** Looks for a case that fails, batch after batch, and for the smallest case that still fails. */

import fc from "fast-check";
import type { HostPath } from "../../src/paths.ts";
import { type Finding, tryBatch } from "./batch.ts";
import { knownOf } from "./differences.ts";
import { type Case, casesOf, crashesOf } from "./generate/case.ts";
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
  /** If given, it gets what is found, and the search goes on. */
  readonly onFinding?: (failing: Case, finding: Finding) => void;
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

/** A case with what fast-check needs to make it smaller. */
type Candidate = fc.Value<Case>;

/** Generates the values themselves, so that they can be tried many at a time. */
class Candidates extends fc.Arbitrary<Candidate> {
  readonly #cases: fc.Arbitrary<Case>;

  constructor(cases: fc.Arbitrary<Case>) {
    super();
    this.#cases = cases;
  }

  override generate(random: fc.Random, biasFactor: number | undefined): fc.Value<Candidate> {
    return new fc.Value(this.#cases.generate(random, biasFactor), undefined);
  }
  override canShrinkWithoutContext(_value: unknown): _value is Candidate {
    return false;
  }
  override shrink(): fc.Stream<fc.Value<Candidate>> {
    return fc.Stream.nil();
  }
}

/** What the cases of a batch are made by. */
function arbitraryOf({ subject }: SearchOptions, seed: number): fc.Arbitrary<Case> {
  return subject.crashes ? crashesOf(seed) : casesOf(seed);
}

/** Stops at the first failure that is not known. */
export async function search(options: SearchOptions): Promise<Searched> {
  const { subject, runs, untilMs } = options;
  let [cases, known] = [0, 0];
  for (let seed = options.seed; cases < runs && Date.now() < untilMs; seed++) {
    const arbitrary = arbitraryOf(options, seed);
    const batch = fc.sample(new Candidates(arbitrary), { seed, numRuns: Math.min(subject.batch, runs - cases) });
    const findings = await tryAll(options, batch);
    for (const [index, finding] of findings.entries()) {
      const failing = batch[index];
      if (finding === null || failing === undefined) continue;
      if (isKnown(options, failing, finding)) known += 1;
      else if (options.onFinding !== undefined) options.onFinding(failing.value, finding);
      else {
        const smallest = await shrink(options, arbitrary, failing, finding);
        return { cases: cases + index + 1, known, failure: { seed, found: failing.value, ...smallest } };
      }
    }
    cases += batch.length;
  }
  return { cases, known, failure: null };
}

function tryAll({ subject, directory }: SearchOptions, batch: readonly Candidate[]) {
  return tryBatch(
    subject,
    batch.map(({ value }) => value),
    directory,
  );
}

/** Goes to the first smaller case that fails, and on from there: as many candidates at a time as a batch has. */
async function shrink(
  options: SearchOptions,
  cases: fc.Arbitrary<Case>,
  failing: Candidate,
  first: Finding,
): Promise<Omit<Failure, "seed" | "found">> {
  const untilMs = Date.now() + options.shrinkMs;
  let [current, finding, smallerTried] = [failing, first, 0];
  for (let isSmaller = true; isSmaller && Date.now() < untilMs; ) {
    isSmaller = false;
    const smaller = cases.shrink(current.value_, current.context)[Symbol.iterator]();
    while (!isSmaller && Date.now() < untilMs) {
      const batch = next(smaller, options.subject.batch);
      if (batch.length === 0) break;
      smallerTried += batch.length;
      const findings = await tryAll(options, batch);
      const at = findings.findIndex((each, index) => each !== null && !isKnown(options, batch[index], each));
      const [failed, found] = [batch[at], findings[at]];
      if (failed === undefined || found === undefined || found === null) continue;
      [current, finding, isSmaller] = [failed, found, true];
    }
  }
  return { smallest: current.value, finding, smallerTried };
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

function isKnown({ subject }: SearchOptions, failing: Candidate | undefined, finding: Finding): boolean {
  return failing !== undefined && knownOf(subject.name).some(({ explains }) => explains?.(failing.value, finding));
}
