/**
 * The first file that runs (dist/cli.cjs): refuses a node that is too old while nothing newer has been parsed, turns the
 * compile cache on, and only then loads the program, or as much of it as the command needs. Keep it small: it is compiled
 * anew at every start.
 */

import { commandIndex } from "./command-index.ts";
import { bundleOf } from "./own-bundles.ts";

/** What the bundle's own require gives; imports of these would bring helper functions along. */
declare function require(id: "node:module"): typeof import("node:module");
declare function require(id: string): unknown;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 15)) {
  process.stderr.write(
    `layerctl: Cannot start with Node ${process.versions.node}: it needs 22.15 or newer. Install one, or run "npm ci" in its directory, which brings one along\n`,
  );
  process.exit(6);
}
const cache = cacheDirectory();
if (cache !== undefined) require("node:module").enableCompileCache(cache);
const argv = process.argv.slice(2);
const bundle = bundleOf(argv[commandIndex(argv)]);
require(bundle);

/** A directory that only we can write: whoever writes a compile cache decides what runs. So never below /tmp. */
function cacheDirectory(): string | undefined {
  if (process.geteuid?.() === 0) return "/var/cache/layerctl";
  const { XDG_CACHE_HOME: cacheHome, HOME: home } = process.env;
  if (cacheHome?.startsWith("/")) return `${cacheHome}/layerctl`;
  return home?.startsWith("/") ? `${home}/.cache/layerctl` : undefined;
}
