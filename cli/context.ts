/** What every command is given: the global options, the store's place, how to log, and when to stop. */

import type { SkippedEntry } from "../layers/diff/change.ts";
import { UsageError } from "../src/errors.ts";
import { type LogFields, type Logger, silentLogger } from "../src/log.ts";
import type { HostPath } from "../src/paths.ts";
import { jsonLine, logWord, tell, treePath } from "./output.ts";
import { openProgress, type Progress } from "./progress.ts";
import { storeRoot } from "./root.ts";
import type { Cancellation } from "./signals.ts";

/** The options that every command takes, before or after its name. */
export interface GlobalOptions {
  readonly root?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
}

export class Context {
  readonly json: boolean;
  readonly quiet: boolean;
  /** How the user or the system stops the command. */
  readonly cancellation: Cancellation;
  readonly logger: Logger;
  readonly #root: string | undefined;
  #progress: Progress | undefined;

  constructor(options: GlobalOptions, cancellation: Cancellation) {
    this.json = options.json ?? false;
    this.quiet = options.quiet ?? false;
    this.cancellation = cancellation;
    this.#root = options.root;
    this.logger = this.#makeLogger(options.debug ?? false);
  }

  /** Aborts when the command is to stop. */
  get signal(): AbortSignal {
    return this.cancellation.signal;
  }

  /** Logs everything, as with --debug. */
  get fullLogger(): Logger {
    return this.#makeLogger(true);
  }

  /** The store's directory. @throws {UsageError} `ERR_ROOT_UNKNOWN`, `ERR_ROOT_EMPTY` */
  get root(): HostPath {
    return storeRoot(this.#root);
  }

  /** As `root`, undefined where that throws: for messages. */
  get rootIfKnown(): HostPath | undefined {
    try {
      return this.root;
    } catch (error) {
      if (error instanceof UsageError) return undefined;
      throw error;
    }
  }

  /** A bar for long work; the caller disposes it. Nothing is drawn with --quiet or --json, or without a terminal. */
  openProgress(): Progress {
    this.#progress = openProgress(!this.quiet && !this.json);
    return this.#progress;
  }

  /** What a person should know, on stderr: a line of text, or with --json the event. Nothing with --quiet. */
  say(event: string, text: string, fields?: LogFields): void {
    if (this.quiet) return;
    this.#progress?.clear();
    tell(this.json ? jsonLine({ level: "info", event, ...fields }) : `layerctl: ${text}\n`);
  }

  /** For what has to wait until nobody adds to the store. */
  sayWaiting(): void {
    this.say("store.waiting", "waiting for the end of an import or commit");
  }

  /** Names what a tar could not take in: nothing is dropped quietly. */
  reportSkipped(entries: readonly SkippedEntry[]): void {
    for (const { path, reason } of entries) this.logger.warn("tar.skipped", { path: treePath(path), reason });
  }

  /** Warnings and errors unless --quiet; everything with --debug. With --json each event is a line of JSON. */
  #makeLogger(debug: boolean): Logger {
    const logAs = (level: keyof Logger) => (event: string, fields?: LogFields) => {
      this.#progress?.clear();
      tell(this.json ? jsonLine({ level, event, ...fields }) : eventLine(level, event, fields));
    };
    if (debug) return { debug: logAs("debug"), info: logAs("info"), warn: logAs("warn"), error: logAs("error") };
    return this.quiet ? silentLogger : { ...silentLogger, warn: logAs("warn"), error: logAs("error") };
  }
}

function eventLine(level: string, event: string, fields: LogFields = {}): string {
  const words = Object.entries(fields).map(([name, value]) => ` ${name}=${logWord(value)}`);
  return `layerctl: ${level}: ${event}${words.join("")}\n`;
}
