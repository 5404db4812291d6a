/**
 * Starts servers that are killed: `kill-server.ts`, bundled once a run, because a case has a server of its own, and modules
 * cost more to load than all else that it does. For the same reason the next is started while a case runs: what it is to
 * mount, it reads when it is known.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin, stop } from "esbuild";
import { SERVER_READY } from "../../../src/sys/fuse-device.ts";
import type { Scene } from "../../conformance/scene.ts";
import { unmount } from "../../conformance/subject.ts";
import type { Opened } from "../subjects.ts";
import { Workers } from "../workers.ts";
import { CALLS, inserted } from "./insertions.ts";
import type { KillTask } from "./kill-server.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const SERVER = fileURLToPath(new URL("kill-server.ts", import.meta.url));

const announcedCalls: Plugin = {
  name: "announced-calls",
  setup(builder) {
    builder.onLoad({ filter: new RegExp(`${CALLS.file.replaceAll(".", "\\.")}$`) }, async ({ path }) => ({
      contents: inserted(await readFile(path, "utf8")),
      loader: "ts",
    }));
  },
};

/** Bundles the server below `directory`: the path of what is to be started. */
async function bundle(directory: string): Promise<string> {
  const outdir = join(directory, "server");
  mkdirSync(outdir, { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(outdir, "node_modules")); // koffi's binary is looked for there
  const outfile = join(outdir, "kill-server.cjs");
  await build({
    entryPoints: [SERVER],
    outfile,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node22.15", // lowers `using`
    external: ["koffi", "fuse-native"],
    banner: { js: 'const __moduleUrl = require("node:url").pathToFileURL(__filename).href;' },
    define: { "import.meta.url": "__moduleUrl" },
    plugins: [announcedCalls],
    logLevel: "warning",
  });
  await stop();
  return outfile;
}

/** A server, which waits for what it is to mount, and when it has ended. */
interface Waiting {
  readonly server: ChildProcess;
  readonly ended: Promise<unknown>;
}

let waiting: Waiting | null = null;

/** Ends the server that waits, if one does. */
export function endServers(): void {
  waiting?.server.kill("SIGKILL");
  waiting = null;
}

function start(program: string): Waiting {
  const server = spawn(process.execPath, [program], { stdio: ["pipe", "ignore", "inherit", "pipe"] });
  return { server, ended: once(server, "exit") };
}

export class KilledServers {
  readonly #directory: string;
  #program: Promise<string> | null = null;

  /** `directory`: where the bundle goes, which is not removed here. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Mounts a scene with a server that lives until its change `killAt`, or the end of what is run there. */
  async open(scene: Scene, sinceMs: number, options: string, killAt: number): Promise<Opened> {
    this.#program ??= bundle(this.#directory);
    const program = await this.#program;
    const { server, ended } = waiting ?? start(program);
    waiting = start(program);
    const workers = await Workers.get();
    const end = async (): Promise<void> => {
      server.kill("SIGKILL");
      await ended;
      unmount(scene.target);
    };
    try {
      await mount(server, scene, options, killAt);
    } catch (error) {
      await end();
      throw error;
    }
    return {
      async run(jobs) {
        const ran = await workers.run(scene.target, sinceMs, jobs);
        server.kill("SIGKILL"); // where the program had fewer changes
        return ran;
      },
      [Symbol.asyncDispose]: end,
    };
  }
}

/** The mount is live when this settles. @throws if the server ends before */
async function mount(
  { stdin, stdio }: ChildProcess,
  { lowerdirs, upperdir, workdir, target }: Scene,
  options: string,
  killAt: number,
): Promise<void> {
  const layers = `lowerdir=${lowerdirs.join(":")},upperdir=${upperdir},workdir=${workdir}`;
  const task: KillTask = { options: `${layers},${options}`, target, killAt };
  stdin?.on("error", () => {}); // one that has ended has said why
  stdin?.end(JSON.stringify(task));
  const [, , , ready] = stdio;
  if (ready === null || ready === undefined) throw new Error("the server has no pipe");
  for await (const answer of ready as NodeJS.ReadableStream) if (String(answer) === SERVER_READY) return;
  throw new Error("the server ended before it had mounted");
}
