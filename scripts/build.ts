/**
 * Builds dist/: library.cjs (what programs import), cli.cjs (the command's entry), main.cjs (everything the command line
 * needs, in one file, because each file read at start-up costs), verb-NAME.cjs (the same with one command only), and
 * what runs beside it as a thread or a process, as a container's monitor does (monitor.cjs starts monitor-program.cjs). Verbs
 * are imported dynamically: esbuild keeps each of them in a function that runs when the verb is chosen.
 */

import { isAscii } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { bundleOf, OWN_BUNDLES } from "../cli/own-bundles.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");

/** Node's own modules that cost a millisecond or more each to load, and that many commands never come to use. */
const LAZY = [
  "child_process",
  "crypto",
  "fs/promises",
  "net",
  "readline",
  "stream",
  "stream/promises",
  "timers/promises",
  "worker_threads",
  "zlib",
];

/** Replaces an import of one of these by getters that load it when it is first used: imports are read at each use. */
const lazyBuiltins: Plugin = {
  name: "lazy-builtins",
  setup(builder) {
    builder.onResolve({ filter: new RegExp(`^node:(?:${LAZY.join("|")})$`) }, ({ path }) => ({
      path,
      namespace: "lazy",
    }));
    builder.onLoad({ filter: /.*/, namespace: "lazy" }, async ({ path }) => {
      const names = Object.keys((await import(path)) as object).filter((name) => name !== "default");
      const getters = names.map((name) => `get ${name}() { return load().${name}; }`);
      return {
        contents: `let loaded;
          const load = () => (loaded ??= process.getBuiltinModule("${path}"));
          module.exports = { ${getters.join(",\n")} };
          Object.defineProperty(module.exports, "default", { get: load });`,
      };
    });
  },
};

/**
 * Puts better-sqlite3's own files into the bundle: node's loader takes longer to find and read its fourteen than SQLite to
 * open a database. Its binary stays where npm put it, and the package's entry serves the machines it has no such name for.
 */
const bundledSqlite: Plugin = {
  name: "bundled-sqlite",
  setup(builder) {
    builder.onResolve({ filter: /\/sqlite-package\.ts$/ }, () => ({ path: "sqlite-package", namespace: "sqlite" }));
    builder.onLoad({ filter: /.*/, namespace: "sqlite" }, () => ({
      resolveDir: root,
      contents: `
        import { createRequire } from "node:module";
        import createDatabase from "./node_modules/better-sqlite3/lib/database.js";
        import { nativeAddon } from "./src/sys/native-addon.ts";

        export function sqlitePackage() {
          const addon = nativeAddon(\`better-sqlite3/prebuilds/linux-\${process.arch}.node\`);
          if (addon === null) return createRequire(import.meta.url)("better-sqlite3");
          return createDatabase(() => addon, false);
        }`,
    }));
  },
};

/** Leaves all commands but one out. */
function onlyVerb(kept: string): Plugin {
  return {
    name: "only-verb",
    setup(builder) {
      builder.onResolve({ filter: /^\.\/verbs\/.*\.ts$/ }, ({ path }) =>
        path === `./verbs/${kept}.ts` ? null : { path, namespace: "left-out" },
      );
      builder.onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({
        contents: `export function define() { throw new Error("${path} is not in the bundle of ${kept}"); }`,
      }));
    },
  };
}

/** Builds a file of which every start of the command reads all; returns what its text is known by. */
async function buildProgram(entry: string, file: string, plugins: readonly Plugin[] = []): Promise<string> {
  const outfile = join(dist, file);
  const entryPoints = [entry];
  const { metafile } = await build({
    ...common,
    entryPoints,
    outfile,
    plugins: [...shared, ...plugins],
    metafile: true,
  });
  const { imports = [] } = metafile.outputs[relative(root, outfile)] ?? {};
  const real = imports.filter(({ kind }) => kind === "dynamic-import").map(({ path }) => path);
  if (real.length > 0) throw new Error(`Cannot build: ${file} imports ${real.join(", ")}, which a script of vm cannot`);
  // esbuild escapes strings and not regular expressions, and one character more makes V8 keep two bytes for all of them.
  const text = readFileSync(outfile);
  if (!isAscii(text)) throw new Error(`Cannot build: ${file} is not ASCII`);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** Builds what starts one of `bundles`: `only`, or that of the command. An old node must get as far as reading why it is refused. */
async function buildStart(file: string, bundles: Readonly<Record<string, string>>, only?: string): Promise<void> {
  await build({
    ...common,
    banner: {},
    define: { BUNDLES: JSON.stringify(bundles), ONLY: only === undefined ? "undefined" : JSON.stringify(only) },
    entryPoints: ["cli/start.ts"],
    target: "node14",
    outfile: join(dist, file),
  });
}

const MAIN = "cli/main.ts";
const MONITOR = "./monitor-program.cjs";
const shared = [lazyBuiltins, bundledSqlite];

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node22.15", // lowers `using`
  external: ["koffi", "better-sqlite3", "@grpc/grpc-js", "protobufjs"],
  banner: { js: 'const __moduleUrl = require("node:url").pathToFileURL(__filename).href;' },
  define: { "import.meta.url": "__moduleUrl" },
  plugins: shared,
  minifySyntax: true,
  minifyWhitespace: true, // 2 ms less to read; names stay, for the stacks of --debug and the classes of errors
  legalComments: "none",
  logLevel: "warning",
};

rmSync(dist, { recursive: true, force: true });
const bundles: Record<string, string> = { [bundleOf(undefined)]: await buildProgram(MAIN, bundleOf(undefined)) };
for (const verb of OWN_BUNDLES) bundles[bundleOf(verb)] = await buildProgram(MAIN, bundleOf(verb), [onlyVerb(verb)]);
const monitor = { [MONITOR]: await buildProgram("layers/containers/monitor.ts", MONITOR) };
await build({ ...common, entryPoints: ["layers/library/index.ts"], outfile: join(dist, "library.cjs") });
await build({ ...common, entryPoints: ["layers/apply/worker.ts"], outfile: join(dist, "apply-worker.cjs") });
await build({ ...common, entryPoints: ["fuse/server/thread.ts"], outfile: join(dist, "fuse-thread.cjs") });
await build({ ...common, entryPoints: ["fuse/server/unmount-thread.ts"], outfile: join(dist, "fuse-unmount.cjs") });
await build({ ...common, entryPoints: ["fuse/server/copy-thread.ts"], outfile: join(dist, "fuse-copy.cjs") });
await build({ ...common, entryPoints: ["fuse/server/main.ts"], outfile: join(dist, "fuse-server.cjs") });
await build({ ...common, entryPoints: ["src/exec/joiner.ts"], outfile: join(dist, "joiner.cjs") });
await build({ ...common, entryPoints: ["layers/serve/slow-worker.ts"], outfile: join(dist, "slow-worker.cjs") });
await build({ ...common, entryPoints: ["layers/diff/fill-worker.ts"], outfile: join(dist, "fill-worker.cjs") });
await build({ ...common, entryPoints: ["cli/code-keeper.ts"], outfile: join(dist, "code-keeper.cjs") });
await buildStart("monitor.cjs", monitor, MONITOR);
await buildStart("cli.cjs", bundles); // last, so that a dist with an entry is complete
