/** What a check is: a sentence about a tree, where the tree comes from, and calls that show the sentence to be true. */

import assert from "node:assert/strict";
import { isSystemError } from "../../src/errors.ts";
import type { HostPath } from "../../src/paths.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import type { Place } from "./place.ts";

/** Gives what was written in the house notation the attributes that the notation has no words for. */
export type Furnish = (...layers: readonly HostPath[]) => void;

/** What a check is written with. */
export interface Given {
  /** In the notation: a string is one tree, a list is a stack, base first. */
  readonly tree: string | readonly string[];
  /** Called with the directories that hold the layers, base first. */
  readonly furnish?: Furnish;
  /** True for what takes the root of the first user namespace: other users, devices, attributes other than user.*. */
  readonly root?: boolean;
}

/** One check as it is run: its tree is in the lower layers, or is made through the mount before it begins. */
export interface Check {
  readonly name: string;
  readonly layers: readonly string[];
  readonly place: "lower" | "new";
  readonly furnish: Furnish;
  readonly root: boolean;
  readonly run: (place: Place) => void | Promise<void>;
}

/** The checks of one subject matter; they share a mount. */
export interface Group {
  readonly name: string;
  readonly checks: readonly Check[];
}

/**
 * A check. With a tree of one layer it is two checks, since that is where union file systems differ from others: once the
 * tree lies in a lower layer, once it is made through the mount. With a stack, or without anything there, it is one.
 */
export function check(name: string, given: string | readonly string[] | Given, run: Check["run"]): readonly Check[] {
  const { tree, furnish = () => {}, root = false } = isGiven(given) ? given : { tree: given };
  const common = { furnish, root, run };
  if (tree === "") return [{ ...common, name, layers: [], place: "new" }];
  if (typeof tree !== "string") return [{ ...common, name, layers: tree, place: "lower" }];
  return (["lower", "new"] as const).map((place) => ({ ...common, name: `${name} (${place})`, layers: [tree], place }));
}

function isGiven(given: string | readonly string[] | Given): given is Given {
  return typeof given === "object" && !Array.isArray(given);
}

/** False for a check that takes root where this process is not. */
export function isPossible(check: Check): boolean {
  return !check.root || canRestoreOwners();
}

/** Names a list of checks. @throws if two have the same name */
export function group(name: string, ...checks: readonly (readonly Check[])[]): Group {
  const all = checks.flat();
  const names = new Set(all.map((each) => each.name));
  if (names.size !== all.length) throw new Error(`two checks of the group ${name} have the same name`);
  return { name, checks: all };
}

/** Asserts that a call fails with this errno. */
export function refused(code: string, call: () => unknown): void {
  let found = "done";
  try {
    call();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    found = error.code;
  }
  assert.equal(found, code);
}
