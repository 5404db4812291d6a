/** A command that stays attached to a container: its output here, what is typed there, and in the end its exit code. */

import { createReadStream } from "node:fs";
import { Attachment } from "../layers/containers/attach.ts";
import { untilEnded } from "../layers/containers/held.ts";
import { waitForContainer } from "../layers/containers/lifecycle.ts";
import type { Store } from "../layers/store.ts";
import { UsageError } from "../src/errors.ts";
import { sendSignal } from "../src/exec/signal.ts";
import { getContainer } from "../src/meta/containers.ts";
import { isTerminal, windowSizeOf } from "../src/sys/terminal.ts";
import type { Context } from "./context.ts";
import { STDOUT, writeBytes } from "./output.ts";
import { onWindowSize, UserTerminal } from "./terminal-relay.ts";

const STDIN = 0;

export interface AttachedOptions {
  /** Standard input goes to the command, if that takes any. */
  readonly hasInput: boolean;
  /** The end of standard input is the end of the command's. */
  readonly endsInput: boolean;
  /** Signals go to the command. */
  readonly passesSignals: boolean;
  readonly detachKeys: Buffer;
}

/**
 * Stays attached until the container ends, for its exit code (the attachment is disposed then), or until the user types the detach keys: 0.
 * @throws {UsageError} `ERR_NO_TERMINAL`
 */
export async function stayAttached(
  context: Context,
  store: Store,
  attachment: Attachment,
  options: AttachedOptions,
): Promise<number> {
  const { id, name } = attachment.snapshot;
  const hasInput = options.hasInput && attachment.options.interactive;
  if (hasInput) requireTerminal(name, attachment.options.terminal);
  using stack = new DisposableStack();
  if (options.passesSignals) {
    const take = (signal: NodeJS.Signals): void => {
      const init = getContainer(store.db, id)?.init;
      if (init != null) sendSignal(init, signal);
    };
    stack.use(context.cancellation.passOn(take));
  }
  let detached: Promise<void> = new Promise(() => {});
  if (attachment.options.terminal) {
    stack.use(onWindowSize(() => sendSize(attachment)));
    if (hasInput) {
      const user = stack.use(new UserTerminal(options.detachKeys, (bytes) => attachment.send("input", bytes)));
      detached = user.detached;
    }
  } else if (hasInput) {
    const input = createReadStream("", { fd: STDIN, autoClose: false });
    input.on("data", (bytes: Buffer | string) => attachment.send("input", Buffer.from(bytes)));
    if (options.endsInput) input.on("end", () => attachment.send("end"));
  }
  const ended = attachment.follow((bytes) => writeBytes(STDOUT, bytes)).then(() => "ended" as const);
  const { signal } = context;
  const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const how = await Promise.race([ended, detached.then(() => "detached" as const), aborted]);
  if (how === "ended") {
    const exitCode = await waitForContainer(store, name, signal);
    attachment[Symbol.dispose]();
    await untilEnded(store, id, signal); // one that was to go has gone then
    return exitCode;
  }
  stack.dispose();
  context.say("container.detached", `detached from "${name}", which runs on`, { name });
  return 0;
}

/** @throws {UsageError} `ERR_NO_TERMINAL` if a container's terminal is to be joined with what is none */
export function requireTerminal(name: string, hasTerminal: boolean): void {
  if (!hasTerminal || isTerminal(STDIN)) return;
  const message = `Cannot attach standard input to the terminal of "${name}": it is no terminal; leave it away`;
  throw new UsageError("ERR_NO_TERMINAL", message, { data: { name } });
}

/** For what starts a container awaited: attaches to it, and lets it start. */
export function attachBeforeStart(store: Store, name: string): Attachment {
  const attachment = new Attachment(store, name);
  sendSize(attachment);
  attachment.send("hello");
  return attachment;
}

/** Tells the monitor how large the user's terminal is. */
function sendSize(attachment: Attachment): void {
  const size = windowSizeOf(STDOUT);
  if (size !== null) attachment.send("size", size);
}
