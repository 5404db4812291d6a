/** Commands that do one thing to several containers, in turn, and print the names of those it was done to. */

import type { Context } from "./context.ts";
import { printDocument, printLines } from "./output.ts";

/**
 * One that fails keeps none of the others from it, as with docker; those it was done to are printed, under `field` with --json.
 * @throws what `work` throws, an `AggregateError` if it did so more than once
 */
export async function eachContainer(
  context: Context,
  field: string,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  const done: string[] = [];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      await work(name);
      done.push(name);
    } catch (error) {
      failures.push(error);
      if (context.signal.aborted) break;
    }
  }
  if (context.json) printDocument({ [field]: done });
  else printLines(done);
  if (failures.length > 1) throw new AggregateError(failures);
  for (const failure of failures) throw failure;
}
