/** What a subject does otherwise, counted by kind: for a first look at a file system that differs in much. */

import type { Finding } from "./batch.ts";
import type { Case } from "./generate/case.ts";
import { callText } from "./model/call.ts";
import { notationOf } from "./model/layers.ts";

interface Kind {
  count: number;
  /** The case with the fewest calls and layers' words. */
  example: string;
}

export class Survey {
  readonly #kinds = new Map<string, Kind>();

  add({ layers, program }: Case, finding: Finding, seed: number): void {
    const { property, expected, found, step } = finding;
    const what = step === null ? property : `${step.do}: ${short(expected)} expected, ${short(found)} found`;
    const calls = program.map(callText).join("; ");
    const example = `${layers.map((layer) => `"${notationOf(layer)}"`).join(", ")}: ${calls}\n      expected: ${expected}\n      found:    ${found}\n      seed ${seed}`;
    const kind = this.#kinds.get(what);
    if (kind === undefined) this.#kinds.set(what, { count: 1, example });
    else {
      kind.count += 1;
      if (example.length < kind.example.length) kind.example = example;
    }
  }

  get isEmpty(): boolean {
    return this.#kinds.size === 0;
  }

  /** The most frequent first, each with its shortest case. */
  toString(): string {
    return [...this.#kinds]
      .sort(([, a], [, b]) => b.count - a.count)
      .map(([what, { count, example }]) => `${String(count).padStart(5)} ${what}\n      ${example}`)
      .join("\n");
  }
}

/** An errno or "done"; what was read is none of the kind. */
function short(outcome: string): string {
  return /^[A-Za-z]+$/.test(outcome) ? outcome : (/^[a-z]+/.exec(outcome)?.[0] ?? "something");
}
