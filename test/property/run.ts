/** npm run property: tries the properties of a union file system on subjects. `--help` says how. */

import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { tryBatch } from "./batch.ts";
import { knownOf, witnessOf } from "./differences.ts";
import { callText } from "./model/call.ts";
import { notationOf } from "./model/layers.ts";
import { scriptOf } from "./script.ts";
import { type Failure, type Searched, search } from "./search.ts";
import { crashing, KERNELS, type Subject, subjectOf } from "./subjects.ts";
import { Survey } from "./survey.ts";
import { endWorkers } from "./workers.ts";

const HELP = `npm run property -- [--subject SUBJECT]... [--runs N] [--seed N] [--minutes M] [--script FILE]

Runs random programs of system calls on random stacks of layers, in the subject and in a plain directory that holds the
merged tree, and compares every answer and the trees; then looks at what the subject has left on disk. What is found is
made as small as it can be, and printed with a script that reproduces it. As root, or without it for "fuse-user".

  --subject   dir          a plain directory: checks the model
              core         our union in this process, without a mount (the default)
              kernel       kernel overlayfs; kernel:OPTIONS with options; "kernel:*" with each set of options
              store        a snapshot of an imported image, committed, saved and imported again
              fuse         ours, mounted; fuse-user as the root of a user namespace; fuse-native through libfuse
              COMMAND      [NAME=]'fuse-overlayfs -f -o lowerdir=%L,upperdir=%U,workdir=%W %M'
  --runs      cases a subject (500; without end where --minutes is given)
  --seed      of the first batch of cases; the same seed makes the same cases (1)
  --minutes   stop after so many, a subject
  --directory where to lay out layers (/dev/shm if there is one, else the temporary directory)
  --script    write the script of what was found to this file too
  --shrink    seconds to look for smaller cases (60)
  --quick     look for no smaller case, and for no difference that is known and gone
  --survey    go on after a finding, and count what is found by kind, each with its shortest case
  --crash     kill "core", "fuse" or "fuse-user" in the middle of every case, and look what is left
  --mutations make deliberate bugs in a copy of the tree, and see whether each is found

Exits with 0 if nothing was found. The last line says how many cases ran.
`;

/** Where layers are laid out: in memory where that can hold attributes. */
const MEMORY = "/dev/shm";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    subject: { type: "string", multiple: true, default: ["core"] },
    runs: { type: "string" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string" },
    script: { type: "string" },
    directory: { type: "string", default: existsSync(MEMORY) ? MEMORY : tmpdir() },
    shrink: { type: "string", default: "60" },
    survey: { type: "boolean", default: false },
    mutations: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    crash: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

/** Set for the process that runs in a mount namespace of its own, where nobody's copy keeps its mounts in use. */
const INNER = "LAYERCTL_PROPERTY_INNER";
if (values.help) print(HELP.trimEnd());
else if (positionals.length > 0 && !values.mutations) refuse(`no argument: ${positionals.join(" ")}`);
else if (values.mutations) await import("./mutations/run.ts");
else if (process.env[INNER] === undefined) runInner();
else await runAll();

function runInner(): void {
  const isUser = values.subject.includes("fuse-user");
  const preloaded = values.crash ? ["--import", new URL("crash/changes.ts", import.meta.url).href] : [];
  const command = [process.execPath, ...preloaded, import.meta.filename, ...process.argv.slice(2)];
  const { status } = spawnSync("unshare", [isUser ? "-Urm" : "-m", ...command], {
    stdio: "inherit",
    env: { ...process.env, [INNER]: "1" },
  });
  process.exitCode = status ?? 1;
}

async function runAll(): Promise<void> {
  process.umask(0);
  await using directory = temporaryDirectory(values.directory);
  process.env.NODE_COMPILE_CACHE ??= join(directory.path, "compiled"); // workers and servers start in half the time
  let cases = 0;
  const subjects = values.subject.flatMap((text) =>
    text === "kernel:*" ? KERNELS.map((options) => `kernel:${options}`) : [text],
  );
  try {
    for (const text of subjects) {
      const subject = values.crash ? crashing(subjectOf(text)) : subjectOf(text);
      const begun = performance.now();
      const gone = values.quick || values.crash ? [] : await goneDifferences(subject, directory.host());
      const survey = values.survey ? new Survey() : null;
      const searched = await searchIn(subject, directory.host(), survey);
      const seconds = (performance.now() - begun) / 1000;
      cases += searched.cases;
      for (const reason of gone) print(`${subject.name}: known as a difference, and none any more: ${reason}`);
      if (searched.failure !== null) printFailure(subject, searched.failure);
      const known = searched.known === 0 ? "" : `, ${searched.known} of them differ as is known`;
      print(`${subject.name}: ${searched.cases} cases${known}, ${(searched.cases / seconds).toFixed(1)} a second`);
      if (survey !== null) print(survey.toString());
      if (searched.failure !== null || gone.length > 0 || survey?.isEmpty === false) process.exitCode = 1;
    }
  } finally {
    await endWorkers();
  }
  print(`${process.exitCode === 1 ? "a difference was found" : "nothing was found"} in ${cases} cases`);
}

function searchIn(
  subject: Subject,
  directory: Parameters<typeof search>[0]["directory"],
  survey: Survey | null,
): Promise<Searched> {
  const minutes = values.minutes === undefined ? null : Number(values.minutes);
  return search({
    subject,
    runs: values.runs === undefined ? (minutes === null ? 500 : Number.POSITIVE_INFINITY) : Number(values.runs),
    seed: Number(values.seed),
    untilMs: minutes === null ? Number.POSITIVE_INFINITY : Date.now() + minutes * 60_000,
    shrinkMs: values.quick ? 0 : Number(values.shrink) * 1000,
    directory,
    ...(survey !== null && { onFinding: (failing, finding) => survey.add(failing, finding) }),
  });
}

/** The reasons of known differences whose witness does not differ any more. */
async function goneDifferences(
  subject: Subject,
  directory: Parameters<typeof tryBatch>[2],
): Promise<readonly string[]> {
  const known = knownOf(subject.name);
  if (known.length === 0) return [];
  const findings = await tryBatch(subject, known.map(witnessOf), directory, []);
  return known.filter((_, index) => findings[index] === null).map(({ reason }) => reason);
}

function printFailure(subject: Subject, { seed, smallest, finding, smallerTried }: Failure): void {
  const script = scriptOf(subject, smallest, finding, seed);
  if (values.script !== undefined) writeFileSync(values.script, script, { mode: 0o755 });
  print(`
${subject.name}: ${finding.property}
  expected: ${finding.expected}
  found:    ${finding.found}
  layers, base first: ${smallest.layers.map((layer) => `"${notationOf(layer)}"`).join(", ")}
${smallest.program.map((step) => `    ${callText(step)}`).join("\n")}
  seed ${seed}, the smallest of ${smallerTried} smaller cases that were tried. As a script:

${script}`);
}

function refuse(words: string): void {
  process.stderr.write(`${words}; --help says what there is\n`);
  process.exitCode = 2;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
