/** What this process may do to files. */

import { readFileSync } from "node:fs";

/** The map of a process that is in no user namespace but the first: every id is itself. */
const EVERY_ID = /^\s*0\s+0\s+4294967295\s*$/;

/**
 * True if files can be given any owner and devices can be made: root, and not of a user namespace, whose root the
 * kernel lets do neither (user_namespaces(7)).
 */
export function canRestoreOwners(): boolean {
  return process.geteuid?.() === 0 && !isInUserNamespace();
}

/** True in a user namespace but the first. */
export function isInUserNamespace(): boolean {
  return !EVERY_ID.test(readFileSync("/proc/self/uid_map", "utf8"));
}

const CAP_SYS_ADMIN = 21n;

/** True for who may make namespaces and mount: root, also of a user namespace. */
export function canMakeNamespaces(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0";
  return process.geteuid?.() === 0 && ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
}
