/**
 * Another user for a few calls. Linux keeps credentials by thread, and libc's wrappers set those of all threads; the bare
 * system calls set those of the thread that makes the checks. The saved ids stay root's, which is the way back.
 */

import { check, declare } from "../../src/sys/libc.ts";

const setIds = declare<number>("long syscall(long number, long a, long b, long c, long d, long e, long f)");
const setGroupList = declare<number>(
  "long syscall(long number, long size, const void *list, long c, long d, long e, long f)",
);
const SYS =
  process.arch === "arm64"
    ? { setresuid: 147, setresgid: 149, setgroups: 159 }
    : { setresuid: 117, setresgid: 119, setgroups: 116 };

export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
}

/** Two users who are nobody here. */
export const ALICE: User = { uid: 12_001, gid: 12_001 };
export const BOB: User = { uid: 12_002, gid: 12_002 };

/** Does `action`, which must be synchronous, with the ids of `user` and without root's capabilities. Takes root. */
export function asUser<T>(user: User, action: () => T): T {
  setGroups(user.groups ?? []);
  check(Number(setIds(SYS.setresgid, user.gid, user.gid, 0, 0, 0, 0)), "setresgid");
  check(Number(setIds(SYS.setresuid, user.uid, user.uid, 0, 0, 0, 0)), "setresuid");
  try {
    return action();
  } finally {
    check(Number(setIds(SYS.setresuid, 0, 0, 0, 0, 0, 0)), "setresuid");
    check(Number(setIds(SYS.setresgid, 0, 0, 0, 0, 0, 0)), "setresgid");
    setGroups([]);
  }
}

function setGroups(groups: readonly number[]): void {
  const list = Buffer.from(new Uint32Array(groups).buffer);
  check(Number(setGroupList(SYS.setgroups, groups.length, list, 0, 0, 0, 0)), "setgroups");
}
