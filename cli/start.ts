/**
 * The first file that runs (dist/cli.cjs, and dist/monitor.cjs for a container's monitor): refuses a node that is too old
 * while nothing newer has been parsed, and loads the program, or as much of it as the command needs, with the code that V8
 * had compiled of it when the command last ended. Keep it small: it is compiled anew at every start.
 */

import { commandIndex } from "./command-index.ts";
import { bundleOf } from "./own-bundles.ts";

/** What the bundle's own require gives; imports of these would bring helper functions along. */
declare function require(id: "node:fs"): typeof import("node:fs");
declare function require(id: "node:module"): typeof import("node:module");
declare function require(id: "node:vm"): typeof import("node:vm");
declare function require(id: string): typeof import("./code-keeper.ts");
/** What the text of each bundle is known by (scripts/build.ts). */
declare const BUNDLES: Readonly<Record<string, string>>;
/** The bundle of what is no command line: the monitor's. */
declare const ONLY: string | undefined;

/** A command may do more than when its code was kept. To see what was compiled beside takes 8 ms: one start in so many looks. */
const STARTS_TO_A_LOOK = 8;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 15)) {
  process.stderr.write(
    `layerctl: Cannot start with Node ${process.versions.node}: it needs 22.15 or newer. Install one, or run "npm ci" in its directory, which brings one along\n`,
  );
  process.exit(6);
}
const argv = process.argv.slice(2);
const command = argv[commandIndex(argv)];
const bundle = ONLY ?? bundleOf(command);
const { readFileSync } = require("node:fs");
const { Script } = require("node:vm");
const filename = `${__dirname}/${bundle}`;
const keeper = `${__dirname}/code-keeper.cjs`;
const path = codePath();
const kept = path === null ? undefined : codeAt(path);
const script = new Script(require("node:module").wrap(readFileSync(filename, "latin1")), {
  filename,
  cachedData: kept,
});
const isGood = kept !== undefined && script.cachedDataRejected === false;
if (path !== null && (!isGood || Math.random() * STARTS_TO_A_LOOK < 1)) {
  require(keeper).keepCode(script, path, isGood ? kept.length : 0);
}
script.runInThisContext()(exports, require, module, filename, __dirname);

/**
 * Where the compiled code of this command is: for V8 looks at no more of the text than its length, a name for each text and
 * each node. In a directory that only we can write: whoever writes code decides what runs. So never below /tmp.
 */
function codePath(): string | null {
  const directory = cacheDirectory();
  if (directory === undefined || (command !== undefined && !/^[a-z]+$/.test(command))) return null;
  return `${directory}/${BUNDLES[bundle]}-${process.version}-${process.arch}-${command ?? ""}`;
}

function cacheDirectory(): string | undefined {
  if (process.geteuid?.() === 0) return "/var/cache/layerctl";
  const { XDG_CACHE_HOME: cacheHome, HOME: home } = process.env;
  if (cacheHome?.startsWith("/")) return `${cacheHome}/layerctl`;
  return home?.startsWith("/") ? `${home}/.cache/layerctl` : undefined;
}

function codeAt(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined; // then it is compiled
  }
}
