/**
 * The union in this process, killed: from one change of a layer on none is made any more, neither by what tidies up after an
 * error. So the disk is as a killed server leaves it, at a fraction of the cost. Needs `preload.ts` to be preloaded.
 */

import type { OverlayNamespace } from "../../../src/overlay/xattr-names.ts";
import type { Scene } from "../../conformance/scene.ts";
import { observe, outcomeOf } from "../file-system.ts";
import { UnionCalls } from "../in-process/union-calls.ts";
import type { Opened } from "../subjects.ts";
import { openUnion } from "../subjects.ts";
import { beforeChange } from "./changes.ts";

/** What all calls answer that the union did not live to answer. */
const ABORTED = "ECONNABORTED";

export async function openKilled(
  scene: Scene,
  namespace: OverlayNamespace,
  sinceMs: number,
  killAt: number,
): Promise<Opened> {
  const union = openUnion(scene, namespace);
  let [left, isDead, isEnding] = [killAt, false, false];
  beforeChange(() => {
    if (isEnding) return true;
    isDead ||= left-- <= 0;
    if (isDead) throw new Error("killed");
    return false;
  });
  return {
    run: async (jobs) =>
      jobs.map(({ directory, program }) => {
        const calls = new UnionCalls(union, directory, sinceMs);
        const start = observe(calls);
        const outcomes = program.map((step) => {
          const outcome = isDead ? ABORTED : outcomeOf(calls, step);
          return isDead ? ABORTED : outcome;
        });
        return { start, outcomes, end: [] };
      }),
    async [Symbol.asyncDispose]() {
      isEnding = true;
      try {
        union[Symbol.dispose]();
      } finally {
        beforeChange(null);
      }
    },
  };
}
