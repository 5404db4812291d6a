/** A user at a terminal: script(1) has it, a test types and reads. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

const TURN_MS = 10;
const PATIENCE_TURNS = 3_000;

export interface TerminalSession extends AsyncDisposable {
  /** All that was shown until now. */
  readonly shown: string;
  type(text: string): void;
  /** Waits until what was shown since the last such wait has a match. */
  until(pattern: RegExp): Promise<void>;
  /** Waits for the end: the exit code. */
  end(): Promise<number | null>;
}

/** `await using session = terminalSession("layerctl …");` A shell runs the command on a terminal of 33 rows and 99 columns. */
export function terminalSession(command: string): TerminalSession {
  const child: ChildProcess = spawn("script", ["-qec", `stty rows 33 cols 99; ${command}`, "/dev/null"]);
  const closed = once(child, "close");
  let shown = "";
  let seen = 0;
  child.stdout?.on("data", (bytes: Buffer) => {
    shown += bytes.toString("latin1");
  });
  return {
    get shown() {
      return shown;
    },
    type: (text) => void child.stdin?.write(text),
    async until(pattern) {
      for (let turn = 0; turn < PATIENCE_TURNS; turn++) {
        const match = pattern.exec(shown.slice(seen));
        if (match !== null) {
          seen += match.index + match[0].length;
          return;
        }
        await sleep(TURN_MS);
      }
      throw new Error(`${pattern} never came: ${JSON.stringify(shown.slice(seen))}`);
    },
    async end() {
      await closed;
      return child.exitCode;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill("SIGKILL");
      await closed;
    },
  };
}
