/** `layerctl exec NAME CMD...`: a further command in a container that runs. */

import { spawn } from "node:child_process";
import { type Command, Option } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { execInContainer } from "../../layers/containers/exec.ts";
import { UsageError } from "../../src/errors.ts";
import type { Running } from "../../src/exec/launcher.ts";
import { sendSignal } from "../../src/exec/signal.ts";
import { isTerminal, windowSizeOf } from "../../src/sys/terminal.ts";
import type { Context } from "../context.ts";
import { detachKeysOption, parseDetachKeys } from "../detach-keys.ts";
import { STDOUT } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly detach?: boolean;
  readonly env?: readonly string[];
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly user?: string;
  readonly workdir?: string;
  readonly privileged?: boolean;
  readonly detachKeys: string;
}

export function define(command: Command): void {
  command
    .argument("<name>", "a container that runs")
    .argument("<command...>", "what to run, with its arguments")
    .passThroughOptions()
    .option("-d, --detach", "leave the command to itself as soon as it runs")
    .addOption(
      new Option(
        "-e, --env <name=value>",
        "a variable of the environment; without a value the one of yours; may be repeated",
      ).argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value]),
    )
    .option("-i, --interactive", "the command reads standard input; else it has none")
    .option("-t, --tty", "give the command a terminal of its own")
    .option("-u, --user <user[:group]>", "who runs it: names of the container, or numbers (default: the container's)")
    .option("-w, --workdir <dir>", "where it starts (default: the container's)")
    .option("--privileged", "all capabilities of this host")
    .addOption(detachKeysOption())
    .addHelpText(
      "after",
      `
The command is in the container's namespaces and cgroup, and has its environment, capabilities and limits. Signals go to it.
It ends with the container. The detach keys leave it to itself.

The exit code is the command's, or 128 and the number of the signal that ended it; 125 if layerctl could not do it, 126 if
the command cannot be executed, 127 if it is not there.

Examples:
  $ layerctl exec web ps
  $ layerctl exec -it web sh
  $ layerctl exec -u app -w /srv -e DEBUG=1 web ./report`,
    );
}

export async function run(
  context: Context,
  name: string,
  command: readonly string[],
  options: Options,
): Promise<number> {
  const { detach = false, interactive = false, tty = false, privileged = false, env = [], user, workdir } = options;
  const detachKeys = parseDetachKeys(options.detachKeys);
  if (interactive && tty && !detach && !isTerminal(0)) {
    throw new UsageError("ERR_NO_TERMINAL", "Cannot run with -i and -t: standard input is no terminal; leave -t away");
  }
  using store = openStore(context);
  await repairContainers(store);
  const { TerminalRelay } = await (tty && !detach ? import("../terminal-relay.ts") : { TerminalRelay: null });
  let started: Running | undefined;
  using stack = new DisposableStack();
  stack.use(
    context.cancellation.passOn((signal) => {
      if (started !== undefined) sendSignal(started.init, signal);
    }),
  );
  started = await execInContainer(store, name, {
    ...{ command, env, privileged, terminal: tty, detached: detach },
    ...(user !== undefined && { user }),
    ...(workdir !== undefined && { workdir }),
    stdio: detach ? ["ignore", "ignore", "ignore"] : [interactive ? 0 : "ignore", 1, 2],
    windowSize: detach ? null : windowSizeOf(STDOUT),
  });
  const { terminal, exitCode } = started;
  if (detach) {
    if (terminal !== null) keepTerminal(terminal);
    return 0;
  }
  if (terminal === null || TerminalRelay === null) return await exitCode;
  const relay = stack.use(new TerminalRelay(terminal, interactive ? detachKeys : null));
  const isDetached = await Promise.race([relay.detached.then(() => true), exitCode.then(() => false)]);
  if (isDetached) {
    keepTerminal(terminal);
    stack.dispose();
    context.say("exec.detached", `detached from the command, which runs on in "${name}"`, { name });
    return 0;
  }
  await relay.ended;
  return await exitCode;
}

/** A terminal lives as long as somebody has its master open; nobody looks at what comes then. */
function keepTerminal(master: number): void {
  const keeper = spawn("cat", { stdio: [master, "ignore", "ignore"], detached: true, cwd: "/" });
  keeper.on("error", () => {}); // then the command's terminal hangs up
  keeper.unref();
}
