/** Runs the built `bin/layerctl` on a store of its own, as a user would, and cleans up what it mounted. */

import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Store } from "../../layers/store.ts";
import { hostPath } from "../../src/paths.ts";
import { mountsBelow } from "./leftovers.ts";

/** The command as it is installed. `node scripts/build.ts` makes what it runs. */
export const LAYERCTL = fileURLToPath(new URL("../../bin/layerctl", import.meta.url));

/** A command that has not ended after this never will. */
const PATIENCE_MS = 120_000;

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: Buffer;
  /** As text: what is meant for people. */
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
}

/** A store below a temporary directory, and the command on it. */
export interface TestStore extends AsyncDisposable {
  /** The temporary directory: the store is `store` in it, and anything else a test needs may lie beside. */
  readonly path: string;
  readonly root: string;
  /** Runs the command and returns what came out, whatever the exit code. */
  run(args: readonly string[], options?: RunOptions): Outcome;
  /** Runs the command, which must succeed, and returns its standard output as text without the last newline. */
  ok(...args: readonly string[]): string;
  /** Makes the store, with nothing in it. */
  make(): void;
  /** Unmounts and removes everything, as disposing does. */
  remove(): void;
  /** Mounts `reference` and returns the merged tree's path. */
  mount(reference: string, ...options: readonly string[]): string;
}

/** `await using store = temporaryStore();` */
export function temporaryStore(): TestStore {
  const path = mkdtempSync(join(tmpdir(), "layerctl-test-"));
  const root = join(path, "store");
  const run = (args: readonly string[], options: RunOptions = {}): Outcome =>
    runLayerctl(["--root", root, ...args], options);
  const ok = (...args: readonly string[]): string => {
    const outcome = run(args);
    if (outcome.exitCode !== 0)
      throw new Error(`layerctl ${args.join(" ")}: exit ${outcome.exitCode}: ${outcome.stderr}`);
    return outcome.stdout.toString().replace(/\n$/, "");
  };
  const remove = (): void => {
    for (const target of mountsBelow(path).toReversed()) spawnSync("umount", ["-i", "-l", target]);
    spawnSync("rm", ["-rf", "--one-file-system", path]);
  };
  return {
    path,
    root,
    run,
    ok,
    mount: (reference, ...options) => ok("mount", reference, ...options),
    make: () => Store.open(hostPath(root))[Symbol.dispose](),
    remove,
    async [Symbol.asyncDispose]() {
      remove();
    },
  };
}

/** Runs the command to its end. */
export function runLayerctl(args: readonly string[], options: RunOptions = {}): Outcome {
  const { status, signal, stdout, stderr, error } = spawnSync(LAYERCTL, args, {
    input: options.input ?? "",
    env: { ...plainEnvironment(), ...options.env },
    maxBuffer: 1024 ** 3,
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  if (error !== undefined) throw error;
  if (signal !== null) throw new Error(`layerctl ${args.join(" ")} died of ${signal}: ${stderr}`);
  return { exitCode: status ?? -1, stdout, stderr: stderr.toString() };
}

/** The environment without what would change how the command works or how long it takes to start. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _certificates, LAYERCTL_ROOT: _root, NODE_OPTIONS: _options, ...rest } = process.env;
  return { ...rest, LC_ALL: "C", NO_COLOR: "1" };
}
