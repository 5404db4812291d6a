/** Descriptors of this process, as a program that it starts would get them. */

import { readdirSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { check, declare } from "./libc.ts";

const closeRangeCall = declare(
  "long syscall(long number, unsigned int first, unsigned int last, unsigned int flags, long d, long e, long f)",
);
const fcntl = declare("int fcntl(int fd, int command, long argument)");

const SYS_CLOSE_RANGE = 436;
const CLOSE_RANGE_CLOEXEC = 4;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const FIRST = 3;

/** Leaves a descriptor open in the program that takes this one's place; node closes all it was started with. @throws PosixError */
export function passOn(fd: number): void {
  check(fcntl(fd, F_SETFD, 0), "fcntl");
}

/** Closes in programs that are started what this process has open besides the standard three, whoever left it open. */
export function keepDescriptorsToOurselves(): void {
  try {
    check(Number(closeRangeCall(SYS_CLOSE_RANGE, FIRST, 0xffff_ffff, CLOSE_RANGE_CLOEXEC, 0, 0, 0)), "close_range");
  } catch (error) {
    if (!isErrno(error, "ENOSYS", "EINVAL")) throw error; // before Linux 5.11
    for (const name of readdirSync("/proc/self/fd"))
      if (Number(name) >= FIRST) fcntl(Number(name), F_SETFD, FD_CLOEXEC);
  }
}
