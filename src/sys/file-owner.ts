/** Whose files this thread makes: setfsuid(2), and the capabilities that the kernel takes away with it (capabilities(7)). */

import { check, declare } from "./libc.ts";

const setfsuid = declare("int setfsuid(unsigned int uid)");
const setfsgid = declare("int setfsgid(unsigned int gid)");
const capget = declare("int capget(void *header, void *data)");
const capset = declare("int capset(const void *header, const void *data)");

/** _LINUX_CAPABILITY_VERSION_3; 0 is this thread. */
const HEADER = new Uint8Array(new Uint32Array([0x2008_0522, 0]).buffer);

/**
 * Does synchronous `work` so that what it makes belongs to `uid` and `gid`, with all that this thread may do otherwise. For
 * trees in which root of this host has no place.
 * @throws PosixError, and what `work` throws
 */
export function asFileOwner<Result>(uid: number, gid: number, work: () => Result): Result {
  const [ownUid, ownGid] = [setfsuid(uid), setfsgid(gid)];
  try {
    raiseCapabilities();
    return work();
  } finally {
    setfsuid(ownUid);
    setfsgid(ownGid);
    raiseCapabilities();
  }
}

/** All that is permitted is effective. */
function raiseCapabilities(): void {
  const sets = new Uint32Array(6); // twice: effective, permitted, inheritable
  check(capget(HEADER, new Uint8Array(sets.buffer)), "capget");
  [sets[0], sets[3]] = [sets[1] ?? 0, sets[4] ?? 0];
  check(capset(HEADER, new Uint8Array(sets.buffer)), "capset");
}
