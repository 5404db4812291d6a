/** Commands that do one thing to several containers, in turn, and print the names of those it was done to. */

import type { Context } from "./context.ts";
import { printDocument, printLines } from "./output.ts";

/** The first failure ends it; what was done before is printed all the same, under `field` with --json. */
export async function eachContainer(
  context: Context,
  field: string,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  const done: string[] = [];
  try {
    for (const name of names) {
      await work(name);
      done.push(name);
    }
  } finally {
    if (context.json) printDocument({ [field]: done });
    else printLines(done);
  }
}
