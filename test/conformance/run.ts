/**
 * npm run conformance -- [--subject ext4|kernel|'[NAME=]COMMAND %L %U %W %M']... [--group NAME]... [--unprivileged] [--json]
 *
 * Makes the checks against each subject and prints a table by group, then each check that does not do what the list of
 * differences says. Exits with 1 if there is one. --unprivileged does all of it as the root of a new user namespace.
 */

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { knownDifferences, surprises } from "./differences.ts";
import { GROUPS, groupNamed } from "./groups/index.ts";
import { subjectOf } from "./subject.ts";
import { type Outcome, runSuite } from "./suite.ts";

const { values } = parseArgs({
  options: {
    subject: { type: "string", multiple: true, default: ["ext4", "kernel"] },
    group: { type: "string", multiple: true },
    unprivileged: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

if (values.unprivileged) {
  const args = process.argv.slice(2).filter((word) => word !== "--unprivileged");
  const command = [process.execPath, import.meta.filename, ...args];
  const { status } = spawnSync("unshare", ["-Urm", ...command], { stdio: "inherit" });
  process.exitCode = status ?? 1;
} else {
  const groups = values.group?.map(groupNamed) ?? GROUPS;
  for (const text of values.subject) await runSubject(text);

  async function runSubject(text: string): Promise<void> {
    const subject = subjectOf(text);
    const outcomes = await runSuite(subject, groups);
    const wrong = surprises(outcomes, knownDifferences(subject.name));
    if (wrong.length > 0) process.exitCode = 1;
    print(
      values.json ? JSON.stringify({ subject: subject.name, outcomes, wrong }) : table(subject.name, outcomes, wrong),
    );
  }
}

function table(subject: string, outcomes: readonly Outcome[], wrong: readonly string[]): string {
  const count = (group: string, state: Outcome["state"]): string =>
    String(outcomes.filter((outcome) => outcome.group === group && outcome.state === state).length).padStart(7);
  const names = [...new Set(outcomes.map((outcome) => outcome.group))];
  const rows = names.map(
    (name) => `${name.padEnd(14)}${count(name, "passed")}${count(name, "failed")}${count(name, "skipped")}`,
  );
  const head = `\n${subject.padEnd(14)} passed differ skipped`;
  return [head, ...rows, ...(wrong.length > 0 ? ["", ...wrong] : [])].join("\n");
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
