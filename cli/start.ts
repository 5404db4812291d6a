/**
 * The first file that runs (dist/cli.cjs): refuses a node that is too old while nothing newer has been parsed, and loads the
 * program, or as much of it as the command needs, with the code that V8 compiled of it when the command last ended. Keep it
 * small: it is compiled anew at every start.
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

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 15)) {
  process.stderr.write(
    `layerctl: Cannot start with Node ${process.versions.node}: it needs 22.15 or newer. Install one, or run "npm ci" in its directory, which brings one along\n`,
  );
  process.exit(6);
}
const argv = process.argv.slice(2);
const command = argv[commandIndex(argv)];
const bundle = bundleOf(command);
const { readFileSync } = require("node:fs");
const { Script } = require("node:vm");
const filename = `${__dirname}/${bundle}`;
const keeper = `${__dirname}/code-keeper.cjs`;
const path = codePath();
const script = new Script(require("node:module").wrap(readFileSync(filename, "latin1")), {
  filename,
  ...(path !== null && { cachedData: codeAt(path) }),
});
if (path !== null && script.cachedDataRejected !== false) require(keeper).keepCode(script, path);
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
