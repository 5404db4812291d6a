/**
 * checks-process.ts GROUP FIRST TARGET TWIN LISTING: the process that touches the tree under test. It makes the checks of
 * one group, from the number FIRST on, below TARGET, says on standard output what becomes of each, a line of JSON when it begins and one when it ends,
 * and in the end writes what the whole tree looks like into the file LISTING, if one is named.
 */

import { writeFileSync, writeSync } from "node:fs";
import { hostPath, joinHost } from "../../src/paths.ts";
import { writeTree } from "../helpers/tree.ts";
import { type Check, isPossible } from "./check.ts";
import { groupNamed } from "./groups/index.ts";
import { treeLines } from "./listing.ts";
import { Place } from "./place.ts";
import { directoryOf } from "./scene.ts";

/** One line: a check begins, or ends with the first difference, with null if there is none, or with why it was skipped. */
export type Report =
  | { readonly check: string; readonly state: "begun" | "passed" }
  | { readonly check: string; readonly state: "failed" | "skipped"; readonly reason: string };

const [groupName = "", first = "", target = "", twin = "", listing = ""] = process.argv.slice(2);
const group = groupNamed(groupName);
process.umask(0o022);

for (const check of group.checks.slice(Number(first))) {
  report({ check: check.name, state: "begun" });
  report(await outcomeOf(check));
}
if (listing !== "") writeFileSync(listing, JSON.stringify(listed()));

/** The lines of the whole tree; where that fails, the one line that says so is a difference. */
function listed(): readonly string[] {
  try {
    return treeLines(target);
  } catch (error) {
    return [String(error).split("\n")[0] ?? ""];
  }
}

async function outcomeOf(check: Check): Promise<Report> {
  if (!isPossible(check)) return { check: check.name, state: "skipped", reason: "needs root" };
  try {
    await run(check);
    return { check: check.name, state: "passed" };
  } catch (error) {
    return { check: check.name, state: "failed", reason: describe(error) };
  } finally {
    process.umask(0o022);
  }
}

async function run(check: Check): Promise<void> {
  const name = directoryOf(group, check);
  using place = new Place(joinHost(hostPath(target), name), joinHost(hostPath(twin), name));
  if (check.place === "new") {
    writeTree(place.root, check.layers.join(" "));
    check.furnish(place.root);
  }
  await check.run(place);
}

/** The message, and where in the check it was. */
function describe(error: unknown): string {
  if (error instanceof SuppressedError) return describe(error.suppressed);
  if (!(error instanceof Error)) return String(error);
  const line = /groups\/([a-z-]+\.ts:\d+)/.exec(error.stack ?? "")?.[1];
  const message = error.message.replace(/\s*\n\s*/g, " ").trim();
  return line === undefined ? message : `${message} [${line}]`;
}

function report(line: Report): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}
