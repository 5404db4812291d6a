/** How `src`, `layers` and `fuse` talk: they never print. An event is a dotted name plus fields. */

/** The values that belong to an event. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where events go. Silent unless the caller passes one. */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

const nothing = (): void => {};

/** Drops everything. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
