/**
 * worker.ts first|second PIPES: a process that touches the tree under test. The first runs jobs, which come and go
 * as messages; the second makes the calls that a program wants of another process. They talk through two named pipes, because
 * the first waits for the answer where it is.
 */

import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { joinHost } from "../../src/paths.ts";
import { outcomeOf } from "./file-system.ts";
import type { Outcome, Step } from "./model/call.ts";
import { SystemCalls } from "./system-calls.ts";
import { type PlacedJob, work } from "./work.ts";

const [role = "", pipes = ""] = process.argv.slice(2);
process.umask(0);
process.chdir("/");

/** A question of the first to the second. */
interface Question {
  readonly job: Omit<PlacedJob, "program">;
  readonly step: Step;
}

function systemCalls({ root, directory, sinceMs }: Question["job"]): SystemCalls {
  return new SystemCalls(joinHost(root, directory), sinceMs);
}

/** One line, waiting for it; null at the end. */
function readLine(fd: number): string | null {
  const pieces: Buffer[] = [];
  for (;;) {
    const buffer = Buffer.alloc(65_536);
    const size = readSync(fd, buffer);
    if (size === 0) return null;
    pieces.push(buffer.subarray(0, size));
    if (buffer[size - 1] === 10) return Buffer.concat(pieces).toString("utf8");
  }
}

if (role === "second") {
  const [questions, answers] = [openSync(`${pipes}.questions`, "r"), openSync(`${pipes}.answers`, "w")];
  for (let line = readLine(questions); line !== null; line = readLine(questions)) {
    const { job, step } = JSON.parse(line) as Question;
    writeSync(answers, `${JSON.stringify(outcomeOf(systemCalls(job), step))}\n`);
  }
} else {
  const [questions, answers] = [openSync(`${pipes}.questions`, "w"), openSync(`${pipes}.answers`, "r")];
  process.on("message", ({ program, ...job }: PlacedJob) => {
    const ask = (step: Step): Outcome => {
      writeSync(questions, `${JSON.stringify({ job, step } satisfies Question)}\n`);
      return JSON.parse(readLine(answers) ?? '"no answer"') as Outcome;
    };
    process.send?.(work(systemCalls(job), program, ask));
  });
  process.once("disconnect", () => closeSync(questions)); // which ends the second
  process.send?.("ready");
}
