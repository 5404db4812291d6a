/** The thread that copies large files' content, one after another as it is told. `large-copies.ts` is the other side. */

import { parentPort, workerData } from "node:worker_threads";
import { isSystemError } from "../../src/errors.ts";
import { startWriting } from "../../src/sys/data.ts";
import { writeAll } from "../../src/sys/file.ts";
import { type CopiedStat, copyContent } from "../union/copy-content.ts";

/** A copy to be made between two open files. */
export interface CopyTask {
  readonly from: number;
  readonly to: number;
  readonly stat: CopiedStat;
  readonly isVolatile: boolean;
  /** [`COPYING` until it is over: then `COPIED` or a negative errno; not 0 to end it]. */
  readonly state: SharedArrayBuffer;
}

/** What the thread gets. */
export interface CopyThreadData {
  /** A byte is written there when a copy is over. */
  readonly wakeFd: number;
  /** [not 0 when the thread does nothing any more]. */
  readonly ended: Int32Array;
}

export const [COPYING, COPIED] = [0, 1];
const [EINTR, EIO] = [4, 5];

class Cancelled extends Error {}

function copy({ from, to, stat, state, isVolatile }: CopyTask): void {
  const words = new Int32Array(state);
  const onChunk = (): void => {
    if (Atomics.load(words, 1) !== 0) throw new Cancelled();
  };
  let result: number = COPIED;
  try {
    onChunk();
    const cannotShare = new Set([`${stat.devMajor}:${stat.devMinor}`]); // that was tried before
    copyContent({ cannotShare }, from, to, stat, onChunk);
    if (!isVolatile) startWriting(to); // as every copy-up
  } catch (error) {
    result = error instanceof Cancelled ? -EINTR : isSystemError(error) ? -Math.abs(error.errno) : -EIO;
  }
  Atomics.store(words, 0, result);
  Atomics.notify(words, 0);
}

const port = parentPort;
if (port !== null) {
  const { wakeFd, ended } = workerData as CopyThreadData;
  const wake = Buffer.from([1]);
  port.on("message", (task: CopyTask | "end") => {
    if (task === "end") {
      port.close();
      Atomics.store(ended, 0, 1);
      Atomics.notify(ended, 0);
      return;
    }
    copy(task);
    writeAll(wakeFd, wake);
  });
}
