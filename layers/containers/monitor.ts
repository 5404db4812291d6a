/**
 * The process behind a detached container (dist/monitor.cjs): it runs the container as "layerctl run" does in front, has
 * nothing of a terminal, and lives until the container ends. What the command prints goes straight into the container's
 * log; only a terminal's output, and what attached clients send, pass through here.
 */

import { closeSync, createReadStream, createWriteStream, openSync, readFileSync, writeSync } from "node:fs";
import { finished } from "node:stream/promises";
import { leaveCallersGroups } from "../../src/exec/cgroup/leave.ts";
import type { Running } from "../../src/exec/launcher.ts";
import { sendSignal } from "../../src/exec/signal.ts";
import { type LogFields, silentLogger } from "../../src/log.ts";
import { bytesOf, joinHost } from "../../src/paths.ts";
import { socketPair } from "../../src/sys/socket.ts";
import { packError } from "../../src/thread-errors.ts";
import { Store } from "../store.ts";
import { AttachServer } from "./attach-server.ts";
import { type Container, runContainer } from "./containers.ts";
import { ANSWER_FD, LOG, type MonitorAnswer, type MonitorTask } from "./detached.ts";
import { createContainer, type HeldContainer, holdContainer } from "./held.ts";
import { startProcess } from "./start-process.ts";

async function run(): Promise<void> {
  let isAnswered = false;
  const answer = (value: MonitorAnswer): void => {
    if (isAnswered) return;
    isAnswered = "name" in value || "error" in value;
    writeSync(ANSWER_FD, `${JSON.stringify(value)}\n`);
    if (isAnswered) closeSync(ANSWER_FD);
  };
  const warn = (warned: string, fields: LogFields = {}): void => answer({ warned, fields });
  try {
    const task = JSON.parse(readFileSync(0, "utf8")) as MonitorTask;
    process.chdir("/");
    await leaveCallersGroups();
    using store = Store.open(task.root, { create: false, logger: { ...silentLogger, warn } });
    using container = await hold(store, task);
    await runHeld(store, container, task.isAwaited ?? false, answer);
  } catch (error) {
    answer({ error: packError(error) });
    process.exitCode = 1;
  }
}

function hold(store: Store, task: MonitorTask): Promise<HeldContainer> | HeldContainer {
  return task.kind === "create"
    ? createContainer(store, task.reference, task.request)
    : holdContainer(store, task.name);
}

async function runHeld(
  store: Store,
  container: HeldContainer,
  isAwaited: boolean,
  answer: (value: MonitorAnswer) => void,
): Promise<void> {
  const { name } = container.snapshot;
  const pass = (signal: NodeJS.Signals): void => {
    if (init !== null) sendSignal(init, signal);
  };
  let init: number | null = null;
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, pass);
  using stack = new DisposableStack();
  await runContainer(
    store,
    container,
    async (made) => {
      const log = openSync(bytesOf(joinHost(made.directory, LOG)), "a", 0o600);
      const server = stack.use(await AttachServer.listen(made.directory));
      if (isAwaited) answer({ waiting: name });
      const windowSize = isAwaited ? await server.firstClient() : null;
      return await startWithLog(made, log, server, windowSize);
    },
    (running) => {
      init = running.init;
      answer({ name });
    },
  );
}

async function startWithLog(
  made: Container,
  log: number,
  server: AttachServer,
  windowSize: Buffer | null,
): Promise<Running> {
  const { terminal, interactive } = made.options;
  // Reading from it waits, as from a terminal that nobody types at, until a client is attached.
  const [input, ours] = interactive && !terminal ? socketPair() : ["ignore" as const, null];
  const running = await startProcess(made, { stdio: [input, log, log], windowSize });
  if (input !== "ignore") closeSync(input);
  if (ours !== null) server.serve({ fd: ours, isTerminal: false });
  let copied: Promise<void> | undefined;
  if (running.terminal !== null) {
    server.serve({ fd: running.terminal, isTerminal: true });
    copied = copyTerminal(running.terminal, log);
  }
  return { ...running, exitCode: endWith(server, running.exitCode, copied) };
}

/** Clients are let go when all output is in the log, and before anybody waits for them to see the exit code. */
async function endWith(server: AttachServer, ended: Promise<number>, copied?: Promise<void>): Promise<number> {
  const exitCode = await ended;
  await copied;
  server[Symbol.dispose]();
  return exitCode;
}

/** Until the container's side hangs up, which reading says with an error. */
async function copyTerminal(master: number, log: number): Promise<void> {
  const to = createWriteStream("", { fd: log });
  const from = createReadStream("", { fd: master, autoClose: false }); // others still write to it by its number
  from.on("error", () => to.end());
  from.pipe(to);
  await finished(to);
}

void run();
