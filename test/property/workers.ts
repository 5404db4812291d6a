/** Starts the two processes that touch a tree under test, and ends them: a file system that hangs hangs those alone. */

import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { HostPath } from "../../src/paths.ts";
import type { Job, PlacedJob, Ran } from "./work.ts";

const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));
/** What one case may take, its tree listed twice. */
const CASE_PATIENCE_MS = 30_000;

let running: Workers | undefined;

/** Ends the processes, if there are any. */
export async function endWorkers(): Promise<void> {
  await running?.[Symbol.asyncDispose]();
}

export class Workers implements AsyncDisposable {
  readonly #processes: readonly ChildProcess[];

  private constructor(processes: readonly ChildProcess[]) {
    this.#processes = processes;
  }

  /** Those that there are, or new ones: starting them takes longer than many cases. */
  static async get(): Promise<Workers> {
    if (running?.isAlive !== true) {
      await running?.[Symbol.asyncDispose]();
      running = await Workers.#start();
    }
    return running;
  }

  static async #start(): Promise<Workers> {
    const scratch = mkdtempSync(join(tmpdir(), "layerctl-test-"));
    const pipes = join(scratch, "pipe");
    execFileSync("mkfifo", [`${pipes}.questions`, `${pipes}.answers`]);
    const processes = ["first", "second"].map((role) =>
      fork(WORKER, [role, pipes], { stdio: ["ignore", "inherit", "inherit", "ipc"] }),
    );
    for (const each of processes) each.on("error", () => {}); // what it means is seen at the job
    const workers = new Workers(processes);
    await workers.#message();
    rmSync(scratch, { recursive: true });
    return workers;
  }

  get isAlive(): boolean {
    return this.#processes.every(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
  }

  /** Runs jobs in turn. What does not end is killed, and has no result; neither have those after it. */
  async run(root: HostPath, sinceMs: number, jobs: readonly Job[]): Promise<readonly Ran[]> {
    const results: Ran[] = [];
    for (const job of jobs) {
      this.#processes[0]?.send({ ...job, root, sinceMs } satisfies PlacedJob);
      const ran = (await this.#message()) as Ran | null;
      if (ran === null) break;
      results.push(ran);
    }
    return results;
  }

  /** The first process's next message; null if it ends, or takes too long. */
  async #message(): Promise<unknown> {
    const [first] = this.#processes;
    if (first === undefined || first.exitCode !== null || first.signalCode !== null) return null;
    using timeout = new Timer(CASE_PATIENCE_MS);
    const said = once(first, "message", { signal: timeout.signal });
    const ended = once(first, "exit", { signal: timeout.signal });
    said.catch(() => {});
    ended.catch(() => {});
    try {
      return await Promise.race([said.then(([message]) => message as unknown), ended.then(() => null)]);
    } catch {
      for (const each of this.#processes) each.kill("SIGKILL");
      return null;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#processes) each.kill("SIGKILL");
    for (const each of this.#processes) {
      if (each.exitCode === null && each.signalCode === null) await Promise.race([once(each, "exit"), delay()]);
    }
  }
}

/** One that is stuck in a call dies when the file system's server does, which is after this. */
function delay(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, 1_000).unref());
}

class Timer implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly signal = this.#controller.signal;

  constructor(ms: number) {
    this.#timer = setTimeout(() => this.#controller.abort(), ms);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }
}
