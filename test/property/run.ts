/** npm run property: tries the properties of a union file system on subjects. `--help` says how. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../src/errors.ts";
import { type HostPath, hostPath } from "../../src/paths.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { tryBatch } from "./batch.ts";
import { endServers } from "./crash/killed-server.ts";
import { knownOf, witnessOf } from "./differences.ts";
import { callText } from "./model/call.ts";
import { notationOf } from "./model/layers.ts";
import { runInNamespaces } from "./namespaces.ts";
import { HELP, type Options, optionsOf } from "./options.ts";
import { scriptOf } from "./script/script.ts";
import { type Failure, type Searched, search } from "./search.ts";
import { crashing, type Subject, subjectOf } from "./subjects.ts";
import { Survey } from "./survey.ts";
import { endWorkers } from "./workers.ts";

/** Set for the process that runs in namespaces of its own: where it lays out layers. */
const INNER = "LAYERCTL_PROPERTY_INNER";

process.exitCode = await main(process.argv.slice(2));

async function main(words: readonly string[]): Promise<number> {
  try {
    const options = optionsOf(words);
    if (options === "help") print(HELP.trimEnd());
    else if (options === "mutations") return await (await import("./mutations/run.ts")).tryMutations(words);
    else if (process.env[INNER] === undefined) return await runInner(options);
    else return await runAll(options, hostPath(process.env[INNER]));
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${HELP}`);
    return error.exitCode;
  }
}

/** The directory is removed here, when all that could be mounted in it has ended. */
async function runInner({ isUser, crash, directory }: Options): Promise<number> {
  await using place = temporaryDirectory(directory);
  const preloaded = crash ? ["--import", new URL("crash/preload.ts", import.meta.url).href] : [];
  const command = [process.execPath, ...preloaded, import.meta.filename, ...process.argv.slice(2)];
  const compiled = join(place.path, "compiled"); // workers and servers start in half the time
  const env = { NODE_COMPILE_CACHE: compiled, ...process.env, [INNER]: place.path, TMPDIR: place.path };
  return await runInNamespaces(command, { isUser, env });
}

/** The exit code. */
async function runAll(options: Options, directory: HostPath): Promise<number> {
  process.umask(0);
  let [cases, isFound] = [0, false];
  try {
    for (const text of options.subjects) {
      const subject = options.crash ? crashing(subjectOf(text), directory) : subjectOf(text);
      const begun = performance.now();
      const gone = options.quick || options.crash ? [] : await goneDifferences(subject, directory);
      const survey = options.survey ? new Survey() : null;
      const searched = await searchIn(subject, options, directory, survey);
      const seconds = (performance.now() - begun) / 1000;
      cases += searched.cases;
      for (const reason of gone) print(`${subject.name}: known as a difference, and none any more: ${reason}`);
      if (searched.failure !== null) printFailure(subject, searched.failure, options);
      const known = searched.known === 0 ? "" : `, ${searched.known} of them differ as is known`;
      print(`${subject.name}: ${searched.cases} cases${known}, ${(searched.cases / seconds).toFixed(1)} a second`);
      if (survey !== null) print(survey.toString());
      isFound ||= searched.failure !== null || gone.length > 0 || survey?.isEmpty === false;
    }
  } finally {
    endServers();
    await endWorkers();
  }
  print(`${isFound ? "a difference was found" : "nothing was found"} in ${cases} cases`);
  return isFound ? 1 : 0;
}

function searchIn(
  subject: Subject,
  { runs, seed, minutes, shrinkSeconds }: Options,
  directory: HostPath,
  survey: Survey | null,
): Promise<Searched> {
  return search({
    subject,
    runs,
    seed,
    untilMs: minutes === null ? Number.POSITIVE_INFINITY : Date.now() + minutes * 60_000,
    shrinkMs: shrinkSeconds * 1000,
    directory,
    ...(survey !== null && {
      onFinding: (failing, finding, ofSeed) => survey.add(failing, finding, ofSeed),
    }),
  });
}

/** The reasons of known differences whose witness does not differ any more, or differs as others do. */
async function goneDifferences(subject: Subject, directory: HostPath): Promise<readonly string[]> {
  const known = knownOf(subject.name);
  const everywhere = known.filter(({ reads, ignores }) => reads !== undefined || ignores !== undefined); // in any case, maybe
  const others = known.filter((each) => !everywhere.includes(each));
  const gone: string[] = [];
  for (const [some, besides] of [
    [everywhere, []],
    [others, everywhere],
  ] as const) {
    if (some.length === 0) continue;
    const findings = await tryBatch(subject, some.map(witnessOf), directory, besides);
    gone.push(...some.filter((_, index) => findings[index] === null).map(({ reason }) => reason));
  }
  return gone;
}

function printFailure(subject: Subject, { seed, smallest, finding, smallerTried }: Failure, options: Options): void {
  const script = scriptOf(subject, smallest, finding, seed);
  if (options.script !== null) writeFileSync(options.script, script, { mode: 0o755 });
  print(`
${subject.name}: ${finding.property}
  expected: ${finding.expected}
  found:    ${finding.found}
  layers, base first: ${smallest.layers.map((layer) => `"${notationOf(layer)}"`).join(", ")}
${smallest.program.map((step) => `    ${callText(step)}`).join("\n")}
  seed ${seed}, the smallest of ${smallerTried} smaller cases that were tried. As a script:

${script}`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
