/** `layerctl run REF [CMD...]`: a command in a container of its own, in front. */

import type { Command } from "commander";
import type { Attachment } from "../../layers/containers/attach.ts";
import { repairContainers, runContainer } from "../../layers/containers/containers.ts";
import { type ContainerRequest, createContainer } from "../../layers/containers/held.ts";
import { startProcess } from "../../layers/containers/start-process.ts";
import type { Store } from "../../layers/store.ts";
import { UsageError } from "../../src/errors.ts";
import { findInit, findInitProgram } from "../../src/exec/init-program.ts";
import type { Running } from "../../src/exec/launcher.ts";
import { findRuntime } from "../../src/exec/oci-runtime.ts";
import { sendSignal } from "../../src/exec/signal.ts";
import { isTerminal, windowSizeOf } from "../../src/sys/terminal.ts";
import { type ContainerFlags, containerOptions, defineContainerOptions } from "../container-options.ts";
import type { Context } from "../context.ts";
import { detachKeysOption, parseDetachKeys } from "../detach-keys.ts";
import { printDocument, printPath, STDOUT } from "../output.ts";
import { openStoreToRun } from "../store.ts";

interface Options extends ContainerFlags {
  readonly detach?: boolean;
  readonly rm?: boolean;
  readonly name?: string;
  readonly runtime?: string;
  readonly detachKeys: string;
}

export function define(command: Command): void {
  defineContainerOptions(
    command
      .argument("<ref>", "an image of the store")
      .argument("[command...]", "what to run, with its arguments (default: the image's)")
      .passThroughOptions()
      .option("--name <name>", "of the container (default: the image's, with four random digits)")
      .option("-d, --detach", "print the container's name as soon as the command runs, and leave it to itself")
      .option("--rm", "remove the container when the command has ended"),
  )
    .option("--runtime <runtime>", "an OCI runtime that starts it: crun, runc, or a path (default: layerctl itself)")
    .addOption(detachKeysOption())
    .addHelpText(
      "after",
      `
Makes a snapshot of the image, mounts it, and runs the command in it with namespaces, capabilities and hidden paths as
docker has them. The changes stay in the snapshot unless --rm is given: diff, commit, mount and rm take its name. Signals go
to the command. Options behind the image belong to the command. With -d a monitor keeps what the command prints for
"layerctl logs"; "layerctl stop" ends it. With -it too: the detach keys leave it, and "layerctl attach" comes back to it.

The exit code is the command's, or 128 and the number of the signal that ended it; 125 if layerctl could not do it, 126 if
the command cannot be executed, 127 if it is not there.

Examples:
  $ layerctl run --rm debian:12 cat /etc/debian_version
  $ layerctl run -it --name work debian:12 bash
  $ layerctl run --rm -v /srv/data:/data:ro -u 1000 --cap-drop ALL debian:12 ls /data
  $ layerctl run -d --name web -m 256m --cpus 0.5 debian:12 sleep 1000
  $ layerctl run -d --name server -p 8080:80 debian:12 /srv/server
  $ layerctl run --rm --network container:server debian:12 cat /etc/hosts
  $ layerctl run --rm --runtime crun debian:12 true`,
    );
}

export async function run(
  context: Context,
  reference: string,
  command: readonly string[],
  flags: Options,
): Promise<number> {
  const { interactive = false, tty = false, detach = false, rm = false, name } = flags;
  const detachKeys = parseDetachKeys(flags.detachKeys);
  if (interactive && tty && !detach && !isTerminal(0)) {
    throw new UsageError("ERR_NO_TERMINAL", "Cannot run with -i and -t: standard input is no terminal; leave -t away");
  }
  const runtime = flags.runtime === undefined ? undefined : findRuntime(flags.runtime);
  if (detach && tty && runtime !== undefined) {
    throw new UsageError("ERR_RUNTIME_TERMINAL", "Cannot use --runtime with -d and -t: leave one of them away");
  }
  const options = {
    ...containerOptions(command, flags, runtime === undefined ? findInit : findInitProgram),
    ...(runtime !== undefined && { runtime }),
  };
  using store = openStoreToRun(context);
  await repairContainers(store);
  const request = { options, autoRemove: rm, ...(name !== undefined && { name }), signal: context.signal };
  // A user who leaves the terminal leaves a monitor behind. A runtime joins the terminal itself, and has no detach keys.
  const isAttached = !detach && interactive && tty && runtime === undefined;
  if (isAttached) return await runAttached(context, store, reference, request, detachKeys);
  if (!detach) return await runInFront(context, store, reference, request);
  const { runDetached } = await import("../../layers/containers/detached.ts");
  const started = await runDetached(store, reference, request);
  if (context.json) printDocument({ name: started });
  else printPath(started);
  return 0;
}

async function runAttached(
  context: Context,
  store: Store,
  reference: string,
  request: ContainerRequest,
  detachKeys: Buffer,
): Promise<number> {
  const { attachBeforeStart, stayAttached } = await import("../attached.ts");
  const { runDetached } = await import("../../layers/containers/detached.ts");
  let attachment: Attachment | undefined;
  try {
    await runDetached(store, reference, request, (started) => {
      attachment = attachBeforeStart(store, started);
    });
    if (attachment === undefined) throw new Error("the monitor did not wait for its client");
    return await stayAttached(context, store, attachment, {
      ...{ hasInput: true, endsInput: true, passesSignals: true },
      detachKeys,
    });
  } finally {
    attachment?.[Symbol.dispose]();
  }
}

async function runInFront(
  context: Context,
  store: Store,
  reference: string,
  request: ContainerRequest,
): Promise<number> {
  const { terminal, interactive, runtime } = request.options;
  const hasRelay = terminal && runtime === undefined;
  const { TerminalRelay } = await (hasRelay ? import("../terminal-relay.ts") : { TerminalRelay: null });
  using container = await createContainer(store, reference, request);
  let started: Running | undefined;
  using stack = new DisposableStack();
  stack.use(
    context.cancellation.passOn((signal) => {
      if (started !== undefined) sendSignal(started.init, signal);
    }),
  );
  let relayed: Promise<void> | undefined;
  const exitCode = await runContainer(
    store,
    container,
    (made) => startProcess(made, { stdio: [interactive ? 0 : "ignore", 1, 2], windowSize: windowSizeOf(STDOUT) }),
    (running) => {
      started = running;
      if (TerminalRelay === null || running.terminal === null) return;
      relayed = stack.use(new TerminalRelay(running.terminal, null)).ended;
    },
  );
  await relayed;
  return exitCode;
}
