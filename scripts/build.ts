/**
 * Builds dist/: cli.cjs (the entry), main.cjs (everything the command line needs, in one file, because each file read at
 * start-up costs) and apply-worker.cjs (the thread that unpacks a layer). Verbs are imported dynamically: esbuild keeps
 * each of them in a function that runs when the verb is chosen.
 */

import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, build, type Plugin } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");

/** commander loads node:child_process, 2 ms, for commands that are programs of their own. There are none here. */
const withoutChildProcess: Plugin = {
  name: "commander-without-child-process",
  setup(builder) {
    builder.onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      importer.includes("/commander/") ? { path: "nothing", namespace: "nothing" } : undefined,
    );
    builder.onLoad({ filter: /.*/, namespace: "nothing" }, () => ({ contents: "export default {};" }));
  },
};

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node22.15", // lowers `using`
  external: ["koffi", "better-sqlite3", "./main.cjs"],
  banner: { js: 'const __moduleUrl = require("node:url").pathToFileURL(__filename).href;' },
  define: { "import.meta.url": "__moduleUrl" },
  plugins: [withoutChildProcess],
  minifySyntax: true,
  legalComments: "none",
  logLevel: "warning",
};

rmSync(dist, { recursive: true, force: true });
await build({ ...common, entryPoints: ["cli/main.ts"], outfile: join(dist, "main.cjs") });
await build({
  ...common,
  entryPoints: ["layers/apply/worker.ts"],
  outfile: join(dist, "apply-worker.cjs"),
});
// Last, so that a dist with an entry is complete. Old nodes must get as far as reading why they are refused.
await build({ ...common, banner: {}, entryPoints: ["cli/start.ts"], target: "node14", outfile: join(dist, "cli.cjs") });
