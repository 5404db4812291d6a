/** `layerctl run IMAGE [CMD...]`: a command in a container of its own, in front. */

import type { Command } from "commander";
import { createContainer, repairContainers, runContainer } from "../../layers/containers/containers.ts";
import { removeSnapshot } from "../../layers/snapshots/snapshots.ts";
import { UsageError } from "../../src/errors.ts";
import { findInitProgram } from "../../src/exec/init-program.ts";
import { launch, type Running } from "../../src/exec/launcher.ts";
import { findRuntime, runWithRuntime } from "../../src/exec/oci-runtime.ts";
import { isTerminal } from "../../src/sys/terminal.ts";
import { type ContainerFlags, containerOptions, defineContainerOptions } from "../container-options.ts";
import type { Context } from "../context.ts";
import { openStore } from "../store.ts";

interface Options extends ContainerFlags {
  readonly rm?: boolean;
  readonly name?: string;
  readonly runtime?: string;
}

export function define(command: Command): void {
  defineContainerOptions(
    command
      .argument("<image>", "an image of the store")
      .argument("[command...]", "what to run, with its arguments (default: the image's)")
      .passThroughOptions()
      .option("--name <name>", "of the container (default: the image's, with four random digits)")
      .option("--rm", "remove the container when the command has ended"),
  )
    .option("--runtime <runtime>", "an OCI runtime that starts it: crun, runc, or a path (default: layerctl itself)")
    .addHelpText(
      "after",
      `
Makes a snapshot of the image, mounts it, and runs the command in it with namespaces, capabilities and hidden paths as
docker has them. The changes stay in the snapshot unless --rm is given: diff, commit, mount and rm take its name. Signals go
to the command. Options behind the image belong to the command.

The exit code is the command's, or 128 and the number of the signal that ended it; 125 if layerctl could not do it, 126 if
the command cannot be executed, 127 if it is not there.

Examples:
  $ layerctl run --rm debian:12 cat /etc/debian_version
  $ layerctl run -it --name work debian:12 bash
  $ layerctl run --rm -v /srv/data:/data:ro -u 1000 --cap-drop ALL debian:12 ls /data
  $ layerctl run --rm --runtime crun debian:12 true`,
    );
}

export async function run(
  context: Context,
  reference: string,
  command: readonly string[],
  flags: Options,
): Promise<number> {
  const { interactive = false, tty = false, rm = false, name } = flags;
  if (interactive && tty && !isTerminal(0)) {
    throw new UsageError("ERR_NO_TERMINAL", "Cannot run with -i and -t: standard input is no terminal; leave -t away");
  }
  const options = containerOptions(command, flags, findInitProgram);
  const runtime = flags.runtime === undefined ? null : findRuntime(flags.runtime);
  using store = openStore(context);
  await repairContainers(store);
  const snapshot = await createContainer(store, reference, {
    options,
    autoRemove: rm,
    ...(name !== undefined && { name }),
    signal: context.signal,
  });
  let started: Running | undefined;
  const { TerminalRelay } = await (tty && runtime === null ? import("../terminal-relay.ts") : { TerminalRelay: null });
  try {
    using _signals = context.cancellation.passOn((signal) => {
      if (started !== undefined) process.kill(started.init, signal);
    });
    using stack = new DisposableStack();
    let relayed: Promise<void> | undefined;
    const exitCode = await runContainer(
      store,
      snapshot,
      ({ spec, directory }) => {
        const input = interactive ? 0 : ("ignore" as const);
        const stdio = [input, 1, 2] as const;
        return runtime === null ? launch(spec, { stdio }) : runWithRuntime(runtime, spec, directory, { stdio });
      },
      (running) => {
        started = running;
        if (TerminalRelay === null || running.terminal === null) return;
        relayed = stack.use(new TerminalRelay(running.terminal, interactive)).ended;
      },
    );
    await relayed;
    return exitCode;
  } catch (error) {
    if (started === undefined && !rm) await removeSnapshot(store, snapshot.name); // nothing has run in it
    throw error;
  }
}
