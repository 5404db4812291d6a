/**
 * The process behind a detached container (dist/monitor.cjs): it runs the container as "layerctl run" does in front, has
 * nothing of a terminal, and lives until the container ends. What the command prints goes straight into the container's
 * log; only a terminal's output passes through here.
 */

import { closeSync, createReadStream, createWriteStream, openSync, readFileSync, writeSync } from "node:fs";
import { sendSignal } from "../../src/exec/signal.ts";
import { silentLogger } from "../../src/log.ts";
import { bytesOf, joinHost } from "../../src/paths.ts";
import { socketPair } from "../../src/sys/socket.ts";
import { packError } from "../../src/thread-errors.ts";
import { Store } from "../store.ts";
import { runContainer } from "./containers.ts";
import { LOG, type MonitorTask } from "./detached.ts";
import { createContainer, type HeldContainer, holdContainer } from "./held.ts";
import { startProcess } from "./start-process.ts";

const ANSWER_FD = 3;

async function run(): Promise<void> {
  let isAnswered = false;
  const answer = (value: object): void => {
    isAnswered = true;
    writeSync(ANSWER_FD, JSON.stringify(value));
    closeSync(ANSWER_FD);
  };
  try {
    const task = JSON.parse(readFileSync(0, "utf8")) as MonitorTask;
    process.chdir("/");
    using store = Store.open(task.root, { create: false, logger: silentLogger });
    using container = await hold(store, task);
    await runHeld(store, container, () => answer({ name: container.snapshot.name }));
  } catch (error) {
    if (!isAnswered) answer({ error: packError(error) });
    process.exitCode = 1;
  }
}

function hold(store: Store, task: MonitorTask): Promise<HeldContainer> | HeldContainer {
  return task.kind === "create"
    ? createContainer(store, task.reference, task.request)
    : holdContainer(store, task.name);
}

async function runHeld(store: Store, container: HeldContainer, onStarted: () => void): Promise<void> {
  const pass = (name: NodeJS.Signals): void => {
    if (init !== null) sendSignal(init, name);
  };
  let init: number | null = null;
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, pass);
  await runContainer(
    store,
    container,
    async (started) => {
      const log = openSync(bytesOf(joinHost(started.directory, LOG)), "a", 0o600);
      // Reading from it waits, as from a terminal that nobody types at: the other end stays open here.
      const input = started.options.interactive && !started.options.terminal ? socketPair()[0] : "ignore";
      const running = await startProcess(started, [input, log, log]);
      if (running.terminal !== null) copyTerminal(running.terminal, log);
      return running;
    },
    (running) => {
      init = running.init;
      onStarted();
    },
  );
}

/** Until the container's side hangs up, which reading says with an error. */
function copyTerminal(master: number, log: number): void {
  const from = createReadStream("", { fd: master });
  from.on("error", () => {});
  from.pipe(createWriteStream("", { fd: log }));
}

void run();
