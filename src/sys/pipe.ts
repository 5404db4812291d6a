/** Pipes by which one thread wakes another that waits in poll(2). */

import { check, declare, lastErrno } from "./libc.ts";

const pipe2 = declare("int pipe2(void *fds, int flags)");
const readCall = declare<number>("int64_t read(int fd, void *buffer, size_t size)");
const O_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const EAGAIN = 11;
const bytes = Buffer.alloc(64);

/** The end to read from and the end to write to; neither waits. @throws PosixError */
export function makePipe(): readonly [readFd: number, writeFd: number] {
  const fds = Buffer.alloc(8);
  check(pipe2(fds, O_CLOEXEC_NONBLOCK), "pipe2");
  return [fds.readInt32LE(0), fds.readInt32LE(4)];
}

/** Reads what there is, and forgets it. @throws PosixError */
export function drain(readFd: number): void {
  for (;;) {
    const size = Number(readCall(readFd, bytes, bytes.length));
    if (size < 0 && lastErrno() !== EAGAIN) check(size, "read");
    if (size < bytes.length) return;
  }
}
