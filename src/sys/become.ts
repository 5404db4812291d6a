/**
 * What a process gives up and takes on before it becomes another program (credentials(7), capabilities(7), execve(2)). It is
 * for a process that was started only to do that: nothing here can be taken back.
 */

import { addressOf, check, declare, lastErrno } from "./libc.ts";

const prctl = declare("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)");
const setgroupsCall = declare("int setgroups(size_t count, const void *groups)");
const setresgid = declare("int setresgid(unsigned int real, unsigned int effective, unsigned int saved)");
const setresuid = declare("int setresuid(unsigned int real, unsigned int effective, unsigned int saved)");
const capsetCall = declare("int capset(void *header, const void *data)");
const setsidCall = declare("int setsid()");
const dup2 = declare("int dup2(int from, int to)");
const signalCall = declare<bigint>("uint64_t signal(int number, uint64_t handler)");
const sigprocmask = declare("int sigprocmask(int how, const void *set, void *before)");
const execve = declare("int execve(const void *path, const void *argv, const void *envp)");
const controlTerminal = declare("int ioctl(int fd, unsigned long request, int steal)");

const PR = {
  setPdeathsig: 1,
  setDumpable: 4,
  capbsetRead: 23,
  capbsetDrop: 24,
  setNoNewPrivs: 38,
  ambient: 47,
} as const;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const LAST_CAPABILITY = 63;

/** What a process is to have: the numbers of its user, its groups and its capabilities. */
export interface Privileges {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** The numbers of the capabilities that it, and what it becomes, can have at most. */
  readonly bounding: readonly number[];
  readonly noNewPrivileges: boolean;
}

/** Leaves this thread, and what it becomes, with these privileges. @throws PosixError */
export function dropPrivileges({ uid, gid, additionalGids, bounding, noNewPrivileges }: Privileges): void {
  for (let number = 0; number <= LAST_CAPABILITY; number++) {
    if (bounding.includes(number) || prctl(PR.capbsetRead, number, 0, 0, 0) < 1) continue;
    check(prctl(PR.capbsetDrop, number, 0, 0, 0), "prctl(PR_CAPBSET_DROP)");
  }
  prctl(PR.ambient, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  check(setgroupsCall(additionalGids.length, new Uint8Array(Uint32Array.from(additionalGids).buffer)), "setgroups");
  check(setresgid(gid, gid, gid), "setresgid");
  check(setresuid(uid, uid, uid), "setresuid"); // to another user than root: that clears what is permitted
  setCapabilities(uid === 0 ? bounding : []);
  if (noNewPrivileges) check(prctl(PR.setNoNewPrivs, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)");
}

const CAPABILITY_VERSION_3 = 0x2008_0522;

function setCapabilities(numbers: readonly number[]): void {
  const bits = numbers.reduce((all, number) => all | (1n << BigInt(number)), 0n);
  const [low, high] = [Number(bits & 0xffff_ffffn), Number(bits >> 32n)];
  const header = Uint32Array.of(CAPABILITY_VERSION_3, 0);
  const data = Uint32Array.of(low, low, 0, high, high, 0); // effective, permitted, inheritable
  check(capsetCall(new Uint8Array(header.buffer), new Uint8Array(data.buffer)), "capset");
}

/** No other process without CAP_SYS_PTRACE may look into this one, until it becomes a program. @throws PosixError */
export function hideMemory(): void {
  check(prctl(PR.setDumpable, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)");
}

/** This process gets `signal` when its parent ends. A change of user takes that back. @throws PosixError */
export function dieWithParent(signal: number): void {
  check(prctl(PR.setPdeathsig, signal, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)");
}

const TIOCSCTTY = 0x540e;

/** Begins a session of its own, with `terminal` as its controlling terminal unless that is null. @throws PosixError */
export function beginSession(terminal: number | null): void {
  check(setsidCall(), "setsid");
  if (terminal !== null) check(controlTerminal(terminal, TIOCSCTTY, 0), "ioctl(TIOCSCTTY)");
}

/** Makes three open files standard input, output and error. @throws PosixError */
export function useAsStandard(input: number, output: number, errors: number): void {
  for (const [to, from] of [input, output, errors].entries()) check(dup2(from, to), "dup2");
}

/** Gives every signal its own effect, and lets all of them through. */
export function resetSignals(): void {
  for (let number = 1; number <= 64; number++) signalCall(number, 0); // SIGKILL, SIGSTOP and libc's own refuse
  sigprocmask(2, new Uint8Array(128), null);
}

/** Byte strings as an array of C strings that ends with NULL. Keep all of it until it has been used. */
export interface StringVector {
  readonly pointers: Buffer;
  readonly strings: Buffer;
}

export function stringVector(values: readonly string[]): StringVector {
  const strings = Buffer.allocUnsafeSlow(values.reduce((total, value) => total + value.length + 1, 1));
  const pointers = Buffer.allocUnsafeSlow(8 * (values.length + 1)).fill(0);
  const base = addressOf(strings);
  let at = 0;
  for (const [index, value] of values.entries()) {
    pointers.writeBigUInt64LE(base + BigInt(at), 8 * index);
    at += strings.write(value, at, "latin1");
    strings[at++] = 0;
  }
  return { pointers, strings };
}

/** execve(2): returns only if that fails, with the errno. `path` ends with a NUL. */
export function become(path: Uint8Array, args: StringVector, env: StringVector): number {
  execve(path, args.pointers, env.pointers);
  return lastErrno();
}
