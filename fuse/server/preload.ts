/**
 * Gives the kernel a small file's content together with the answer to its open (`FUSE_NOTIFY_STORE`). Then no READ follows,
 * nor the GETATTR that follows a READ, after which the kernel knows the time of access no more: half of the messages that
 * reading a tree costs.
 *
 * Only for a file that nobody has open. A page that a READ was sent for is locked until the answer comes: to store it
 * would be to wait for the lock, and who has to answer is waiting.
 */

import { isSystemError } from "../../src/errors.ts";
import { readAt } from "../../src/sys/data.ts";
import { tellKernel } from "../../src/sys/fuse-device.ts";
import { statAt } from "../../src/sys/stat.ts";
import { STORE_HEADER_BYTES, writeStoreHeader } from "../protocol/notify.ts";
import type { Preload } from "../union/node.ts";

/** Up to this size: most files, and what a reader gets at once anyway, by readahead. */
const PRELOAD_BYTES = 64 << 10;

export class Preloader {
  readonly #device: number;
  readonly #message = Buffer.allocUnsafeSlow(STORE_HEADER_BYTES + PRELOAD_BYTES);
  readonly #content = this.#message.subarray(STORE_HEADER_BYTES);

  constructor(device: number) {
    this.#device = device;
  }

  /** Stores what is in the open file `fd` as the content of a node. A failure is for the READ to tell that follows then. */
  store(nodeId: number, fd: number): Preload {
    try {
      const { sizeBytes } = statAt(fd, null);
      if (sizeBytes > PRELOAD_BYTES) return "large";
      if (sizeBytes === 0) return "done";
      return this.#store(nodeId, fd, sizeBytes);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return "untried";
    }
  }

  #store(nodeId: number, fd: number, sizeBytes: number): Preload {
    if (readAt(fd, this.#content, sizeBytes, 0) < sizeBytes) return "untried"; // it shrank
    writeStoreHeader(this.#message, nodeId, sizeBytes);
    return tellKernel(this.#device, this.#message, STORE_HEADER_BYTES + sizeBytes) ? "done" : "untried";
  }
}
