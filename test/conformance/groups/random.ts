/**
 * Long series of calls, from seeds, made in the tree under test and in the same tree of plain files beside it. Each call
 * must end the same way, and in the end both trees must be the same. A seed that finds something becomes a check by name.
 */

import assert from "node:assert/strict";
import { isErrno, isSystemError } from "../../../src/errors.ts";
import { ROOT } from "../../../src/paths.ts";
import { RENAME_NOREPLACE } from "../../../src/sys/file.ts";
import { numbers } from "../../helpers/numbers.ts";
import { RENAME_EXCHANGE } from "../calls.ts";
import { check, group } from "../check.ts";
import { Place } from "../place.ts";

const STACK = [
  "a/ a/a=1 a/b/ a/b/c=1 a/c->b b/ b/a/ b/a/a=1 b/a/b=1 b/b=1 c=1",
  "a/ a/b/ a/b/a=2 -a/c b/! b/c=2 c/ c/a=2 c/b/ c/b/a=2",
  "a/ -a/a a/c/ a/c/a=3 -b/c b/a/ b/a/c=3 c/ -c/b c/c=3",
];
const NAMES = ["a", "b", "c"];
const CALLS = 400;

/** A call with its arguments: what it says, and what it does. */
interface Call {
  readonly text: string;
  /** It is a rename with flags. */
  readonly hasFlags?: boolean;
  readonly make: (place: Place) => unknown;
}

function pathOf(below: (limit: number) => number): string {
  const depth = 1 + below(3);
  return Array.from({ length: depth }, () => NAMES[below(NAMES.length)]).join("/");
}

function callOf(below: (limit: number) => number, at: number): Call {
  const [one, two, content] = [pathOf(below), pathOf(below), String(at)];
  const calls: readonly Call[] = [
    { text: `write ${one}`, make: (place) => place.write(one, content) },
    { text: `append ${one}`, make: (place) => place.append(one, content) },
    { text: `unlink ${one}`, make: (place) => place.unlink(one) },
    { text: `unlink ${one}`, make: (place) => place.unlink(one) },
    { text: `mkdir ${one}`, make: (place) => place.mkdir(one) },
    { text: `rmdir ${one}`, make: (place) => place.rmdir(one) },
    { text: `rename ${one} ${two}`, make: (place) => place.rename(one, two) },
    { text: `rename ${one} ${two}`, make: (place) => place.rename(one, two) },
    { text: `exchange ${one} ${two}`, hasFlags: true, make: (place) => place.rename(one, two, RENAME_EXCHANGE) },
    {
      text: `rename without replacing ${one} ${two}`,
      hasFlags: true,
      make: (place) => place.rename(one, two, RENAME_NOREPLACE),
    },
    { text: `link ${one} ${two}`, make: (place) => place.link(one, two) },
    { text: `symlink ${one}`, make: (place) => place.symlink("a", one) },
    { text: `chmod ${one}`, make: (place) => place.chmod(one, at % 2 === 0 ? 0o755 : 0o711) },
    { text: `truncate ${one}`, make: (place) => place.truncate(one, at % 4) },
    { text: `list ${one}`, make: (place) => place.names(one) },
    { text: `read ${one}`, make: (place) => place.read(one) },
    { text: `mode of ${one}`, make: (place) => place.mode(one) },
  ];
  return calls[below(calls.length)] ?? { text: "nothing", make: () => ROOT };
}

function outcomeOf(call: Call, place: Place): string {
  try {
    return String(call.make(place) ?? "done");
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return error.code;
  }
}

/** False for a file system that knows no flags of renameat2(2); the checks of the group rename tell. */
function takesFlags(place: Place): boolean {
  place.write("old", "");
  try {
    place.rename("old", "new", RENAME_NOREPLACE);
    place.rename("new", "old");
    return true;
  } catch (error) {
    if (!isErrno(error, "EINVAL")) throw error;
    return false;
  } finally {
    place.unlink("old");
  }
}

/** Makes the calls of a seed in both trees. A directory that cannot be moved for its layers (EXDEV) stays in both. */
function play(place: Place, seed: number): void {
  const below = numbers(seed);
  using twin = new Place(place.twin, place.twin);
  const history: string[] = [];
  const hasFlags = takesFlags(place);
  for (let at = 0; at < CALLS; at++) {
    const call = callOf(below, at);
    if (call.hasFlags && !hasFlags) continue;
    const outcome = outcomeOf(call, place);
    history.push(`${call.text}: ${outcome}`);
    if (outcome === "EXDEV") continue;
    assert.equal(outcome, outcomeOf(call, twin), `after ${history.slice(-4).join("; ")}`);
  }
  assert.equal(place.tree(), twin.tree());
}

export const random = group(
  "random",
  ...Array.from({ length: 12 }, (_, seed) =>
    check(`calls from seed ${seed} end as in a plain directory`, STACK, (place) => play(place, seed)),
  ),
);
