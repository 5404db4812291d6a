/** The thread that fills pieces of a tar, one at a time, as it is sent them. See `tar-filler.ts` for the other side. */

import { parentPort } from "node:worker_threads";
import { packError } from "../../src/thread-errors.ts";
import type { FillReply, FillTask } from "./tar-filler.ts";
import { fillPiece } from "./tar-piece.ts";

const port = parentPort;
if (port === null) throw new Error("this module is the entry of a worker thread");
const reply = (message: FillReply): void => port.postMessage(message);

port.on("message", ({ bytes, reads }: FillTask) => {
  try {
    reply({ changed: fillPiece(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), reads) });
  } catch (error) {
    reply({ error: packError(error) });
  }
});
reply("ready");
