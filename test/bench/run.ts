/**
 * npm run bench -- SECTION... [--rounds N] [--images NAME,...] [--only PATTERN]     sections: import mount diff commit fuse run engines
 *
 * Prints ourselves beside the packaged tools and the limits, from one run on a journaled file system of its own. In each
 * round every variant runs once (A B C, A B C), so that what else the machine does falls on all of them. The images are
 * those of fixtures/make-images.sh, or of LAYERCTL_BENCH_IMAGES: a directory with oci/NAME, oci/NAME-zstd, docker/NAME.tar.
 * Root; what is not installed is left out.
 */

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { fixtureDirectory } from "../helpers/fixture-images.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import type { Contender, Section } from "./contender.ts";
import { callLatencies, enginesSection } from "./engines-section.ts";
import { fuseSection } from "./fuse-section.ts";
import { journaledWorkplace } from "./journaled.ts";
import { cleanUp, type Measured, measure, prepare } from "./measure.ts";
import { report } from "./report.ts";
import { runSection as containerSection } from "./run-section.ts";
import { commitSection, diffSection, importSection, mountSection, stored, storedName } from "./sections.ts";

const ROUNDS: Readonly<Record<string, number>> = {
  import: 3,
  mount: 9,
  diff: 9,
  commit: 3,
  fuse: 3,
  run: 9,
  engines: 3,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string" },
    images: { type: "string" },
    only: { type: "string" },
    size: { type: "string", default: "12" },
  },
});
const images = process.env.LAYERCTL_BENCH_IMAGES ?? fixtureDirectory();
const names =
  values.images?.split(",") ??
  ["node-app", "small-files", "many-layers"].filter((name) => existsSync(join(images, "oci", name)));
const only = new RegExp(values.only ?? "");
let stopped = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => (stopped = true));

using workplace = journaledWorkplace(Number(values.size));
const env = environment(workplace.path);
console.log(`Images: ${names.join(", ")}. ${workplace.description}.\n`);
for (const name of positionals.length > 0 ? positionals : Object.keys(ROUNDS)) {
  for (const section of sectionsOf(name)) {
    if (!stopped) console.log(await runSection(section, Number(values.rounds ?? ROUNDS[name])));
  }
  if (name === "engines" && !stopped) console.log(callLatencies(workplace.path));
}

function sectionsOf(name: string): readonly Section[] {
  const [first = ""] = names;
  switch (name) {
    case "import":
      return names.map((image) => importSection(images, image));
    case "mount":
      return names.map((image) => mountSection(image));
    case "diff":
      return [diffSection(first)];
    case "commit":
      return [commitSection(first, 10), commitSection(first, 20_000)];
    case "fuse":
      return [fuseSection(first, stored(first), storedName(first))];
    case "run":
      return [containerSection(names.find((image) => image !== "many-layers") ?? first)]; // many-layers has no programs
    case "engines":
      return names.map(enginesSection);
    default:
      throw new Error(`no section "${name}": import, mount, diff, commit, fuse, run, engines`);
  }
}

/** Runs all rounds of a section and returns its table. A variant that fails once is told and left out. */
async function runSection(section: Section, rounds: number): Promise<string> {
  prepare(section.prepare ?? "", env);
  const runs = new Map<Contender, Measured[]>();
  for (const contender of section.contenders) {
    if (!contender.isLimit && !contender.isReference && !only.test(contender.label)) continue;
    const missing = contender.needs?.filter((program) => !isInstalled(program)) ?? [];
    if (missing.length > 0) console.error(`left out: ${contender.label}: no ${missing.join(", ")}`);
    else runs.set(contender, []);
  }
  for (let round = 0; round < rounds; round++) {
    for (const [contender, measured] of runs) {
      await new Promise(setImmediate); // lets a signal in
      if (stopped) return "stopped";
      try {
        prepare(`${contender.before ?? ""}\nsync -f "$W"`, env);
        measured.push(measure(contender.command, env, contender.serves));
      } catch (error) {
        console.error(
          `left out: ${contender.table}: ${contender.label}: ${error instanceof Error ? error.message : error}`,
        );
        runs.delete(contender);
      }
      cleanUp(contender.after ?? "", env);
    }
  }
  return report([...runs].map(([contender, measured]) => ({ contender, runs: measured })));
}

/** The environment of every line: where things are, and storage for podman and buildah on the same file system. */
function environment(workplacePath: string): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _certificates, ...rest } = process.env; // some nodes parse them at every start
  const storage = join(workplacePath, "storage.conf");
  const containers = join(workplacePath, "containers.conf");
  const paths = `graphroot = "${workplacePath}/storage"\nrunroot = "${workplacePath}/run"`;
  writeFileSync(storage, `[storage]\ndriver = "overlay"\n${paths}\n`);
  writeFileSync(containers, '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n');
  mkdirSync(join(workplacePath, "tmp"));
  return {
    ...rest,
    PATH: `${rest.PATH}${delimiter}/usr/sbin${delimiter}/sbin`,
    LC_ALL: "C",
    W: workplacePath,
    I: images,
    C: LAYERCTL,
    S: join(workplacePath, "store"),
    NODE: process.execPath,
    TMPDIR: join(workplacePath, "tmp"),
    CONTAINERS_STORAGE_CONF: storage,
    CONTAINERS_CONF: containers,
  };
}

function isInstalled(program: string): boolean {
  return (env.PATH ?? "").split(delimiter).some((directory) => existsSync(join(directory, program)));
}
