/**
 * The kernel's log (/dev/kmsg), from a moment on. File systems say there, and only there, why they refuse a mount that
 * is otherwise a bare EINVAL. Reading it takes CAP_SYSLOG or `kernel.dmesg_restrict=0`.
 */

import { closeSync, constants, openSync, readSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { declare } from "./libc.ts";

const seek = declare<number>("int64_t lseek(int fd, int64_t offset, int whence)");
const SEEK_END = 2;
const RECORD_BYTES = 8192;

/** Follows the log from when it was made. Where it cannot be read it has no messages. */
export class KernelLog implements Disposable {
  readonly #fd: number | null;

  constructor() {
    this.#fd = openLog();
    if (this.#fd !== null) seek(this.#fd, 0, SEEK_END);
  }

  /** The messages since the start, or since the last call, that begin with `prefix`; without it. */
  messages(prefix: string): readonly string[] {
    const found: string[] = [];
    const record = Buffer.alloc(RECORD_BYTES);
    for (;;) {
      const text = this.#fd === null ? null : readRecord(this.#fd, record);
      if (text === null) return found;
      const message = text.slice(text.indexOf(";") + 1).split("\n", 1)[0] ?? "";
      if (message.startsWith(prefix)) found.push(message.slice(prefix.length));
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) closeSync(this.#fd);
  }
}

function openLog(): number | null {
  try {
    return openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return null; // no permission, no device: a mount must not fail for want of an explanation
  }
}

/** The next record; null if there is none. One read gives one record. */
function readRecord(fd: number, buffer: Buffer): string | null {
  for (;;) {
    try {
      return buffer.toString("utf8", 0, readSync(fd, buffer));
    } catch (error) {
      if (!isErrno(error, "EPIPE")) return null; // EAGAIN: no more. EPIPE: records were overwritten, go on with the rest
    }
  }
}
