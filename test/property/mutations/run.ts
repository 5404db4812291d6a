/**
 * npm run property -- --mutations [TEXT]: makes each deliberate bug (or those whose words have TEXT in them) in a copy of the
 * tree, and runs the share of the property tests that `npm test` runs on the core, or on what the bug is in. Prints a table; exits with 1 if a bug was not found.
 */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { temporaryDirectory } from "../../helpers/temporary.ts";
import { SHARE } from "../share.ts";
import { MUTATIONS, type Mutation } from "./mutations.ts";
import { copyTree, mutate } from "./tree-copy.ts";

const PATIENCE_MS = 300_000;

/** What was found of a bug: the property, and after how many cases; or why not. */
interface Caught {
  readonly isCaught: boolean;
  readonly words: string;
}

/** `words` of the command line. The exit code. */
export async function tryMutations(words: readonly string[]): Promise<number> {
  await using copy = temporaryDirectory();
  copyTree(copy.path);
  const wanted = words.find((word) => !word.startsWith("-")) ?? "";
  const chosen = MUTATIONS.filter(({ bug }) => bug.includes(wanted));
  process.stdout.write("| deliberate bug | found as | after |\n|---|---|---|\n");
  let missed = 0;
  for (const mutation of chosen) {
    const { isCaught, words } = tryMutation(mutation, copy.path);
    if (!isCaught) missed += 1;
    process.stdout.write(`| ${mutation.bug} | ${words} |\n`);
  }
  process.stdout.write(`\n${missed} of ${chosen.length} deliberate bugs were not found\n`);
  return missed === 0 ? 0 : 1;
}

function tryMutation(mutation: Mutation, root: string): Caught {
  using _ = mutate(root, mutation);
  const share = SHARE.find(([subject]) => subject === mutation.foundIn);
  const words = ["--subject", ...mutation.foundIn.split(" "), "--runs", String(share?.[1]), "--quick"];
  const args = [join(root, "test/property/run.ts"), ...words];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    timeout: PATIENCE_MS,
    killSignal: "SIGINT",
  });
  const property = /^(?:core|store|fuse): (.*?)(?: \(.*\))?$/m.exec(stdout)?.[1];
  const cases = /a difference was found in (\d+) cases/.exec(stdout)?.[1];
  if (status === 1 && cases !== undefined) return { isCaught: true, words: `${property} | ${cases} cases` };
  return { isCaught: false, words: `NOT FOUND: exit ${status} ${stderr.split("\n")[0]} |` };
}
