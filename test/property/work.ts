/** What a process does with the cases of a batch: it runs their programs below a root, and tells what it saw. */

import type { HostPath } from "../../src/paths.ts";
import { type FileSystem, observe, outcomeOf } from "./file-system.ts";
import type { Outcome, Step } from "./model/call.ts";

/** One case for a process that knows nothing but a directory. Plain data: it crosses to another process. */
export interface Job {
  /** The case's directory, below the root. */
  readonly directory: string;
  readonly program: readonly Step[];
}

/** A job, and where its tree is. */
export interface PlacedJob extends Job {
  readonly root: HostPath;
  /** Before that nothing was done there. */
  readonly sinceMs: number;
}

/** What came of a job. */
export interface Ran {
  /** The tree before the program. */
  readonly start: readonly string[];
  readonly outcomes: readonly Outcome[];
  /** The tree after it. */
  readonly end: readonly string[];
}

/** `other` makes the calls of the second process. */
export function work(
  fileSystem: FileSystem,
  program: readonly Step[],
  other: (step: Step) => Outcome = (step) => outcomeOf(fileSystem, step),
): Ran {
  const start = observe(fileSystem);
  if (program.length === 0) return { start, outcomes: [], end: start };
  const outcomes = program.map((step) => ((step.by ?? 0) === 0 ? outcomeOf(fileSystem, step) : other(step)));
  return { start, outcomes, end: observe(fileSystem) };
}
