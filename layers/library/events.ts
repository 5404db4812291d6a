/** What a store of the library tells while it works. */

import type { EventEmitter } from "node:events";
import type { Logger } from "../../src/log.ts";

/** What takes long enough to tell how far it is. */
export type Operation = "import" | "commit" | "save" | "export" | "diff" | "check";

/** How far an operation is; about ten times a second, and not at all for short ones. */
export interface ProgressEvent {
  readonly operation: Operation;
  /** What the operation was given: a source, a snapshot, names separated by ", "; for a check the store's directory. */
  readonly subject: string;
  /** Bytes that are done. */
  readonly doneBytes: number;
  /** Bytes in all; 0 while that is not known. */
  readonly totalBytes: number;
}

/** Something worth knowing that is no error. */
export interface LogEvent {
  readonly level: "debug" | "info" | "warn" | "error";
  /** A dotted name, such as "mount.backend". */
  readonly event: string;
  /** The values that belong to it. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** An operation waits until nobody adds to the store. Told once for each. */
export interface WaitEvent {
  readonly operation: "check" | "collect";
}

/** The events of a store, by name, with what listeners are given. */
export interface StoreEvents {
  progress: [event: ProgressEvent];
  log: [event: LogEvent];
  wait: [event: WaitEvent];
}

/** A logger whose events are those of a store. */
export function emittingLogger(events: EventEmitter<StoreEvents>): Logger {
  const logAs =
    (level: LogEvent["level"]) =>
    (event: string, fields = {}) => {
      events.emit("log", { level, event, fields });
    };
  return { debug: logAs("debug"), info: logAs("info"), warn: logAs("warn"), error: logAs("error") };
}
