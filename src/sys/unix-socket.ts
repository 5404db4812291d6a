/** Who is at the other end of a unix socket (unix(7), SO_PEERCRED), and datagrams to one, which node has not. */

import { isErrno } from "../errors.ts";
import { close } from "./file.ts";
import { check, declare, failure } from "./libc.ts";

const getsockopt = declare("int getsockopt(int fd, int level, int option, void *value, void *length)");
const getsockname = declare("int getsockname(int fd, void *address, void *length)");
const socketCall = declare("int socket(int domain, int type, int protocol)");
const sendto = declare<number>(
  "int64_t sendto(int fd, const void *bytes, size_t size, int flags, const void *address, uint32_t length)",
);

const [SOL_SOCKET, SO_PEERCRED, SO_PEERGROUPS] = [1, 17, 59];
const [AF_UNIX, SOCK_DGRAM, SOCK_CLOEXEC, MSG_NOSIGNAL] = [1, 2, 0o2000000, 0x4000];
/** Of `struct sockaddr_un`: a path has a NUL at its end. */
const SUN_PATH_BYTES = 108;
const GROUP_BYTES = 4;
/** The most groups a process has (NGROUPS_MAX). */
const MAX_GROUPS = 65_536;

/** The longest path of a unix socket, in bytes. */
export const MAX_SOCKET_PATH_BYTES = SUN_PATH_BYTES - 1;

/** As they were when it connected. */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
  /** Its group, then the others. */
  readonly gids: readonly number[];
}

/** The process that connected to a unix socket. @throws PosixError */
export function peerOf(fd: number): Peer {
  const credentials = option(fd, SO_PEERCRED, 12);
  const [pid, uid, gid] = [0, 4, 8].map((at) => credentials.readUInt32LE(at)) as [number, number, number];
  return { pid, uid, gids: [gid, ...peerGroups(fd)] };
}

function peerGroups(fd: number): readonly number[] {
  for (let most = 64; ; most = MAX_GROUPS) {
    try {
      const groups = option(fd, SO_PEERGROUPS, most * GROUP_BYTES);
      return Array.from({ length: groups.length / GROUP_BYTES }, (_, index) =>
        groups.readUInt32LE(index * GROUP_BYTES),
      );
    } catch (error) {
      if (isErrno(error, "ENOPROTOOPT")) return []; // before Linux 4.13
      if (!isErrno(error, "ERANGE") || most === MAX_GROUPS) throw error;
    }
  }
}

function option(fd: number, name: number, size: number): Buffer {
  const value = Buffer.alloc(size);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(size);
  check(getsockopt(fd, SOL_SOCKET, name, value, length), "getsockopt");
  return value.subarray(0, length.readUInt32LE());
}

/** The path that a unix socket is bound to; null if `fd` is no such socket. */
export function boundPathOf(fd: number): string | null {
  const address = Buffer.alloc(2 + SUN_PATH_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(address.length);
  if (getsockname(fd, address, length) < 0 || address.readUInt16LE() !== AF_UNIX) return null;
  const path = address.subarray(2, Math.min(length.readUInt32LE(), address.length)).toString("latin1");
  return path.replace(/\0+$/, "");
}

/** Sends `text` to the datagram socket at `path`; one that begins with "@" is in the abstract namespace. @throws PosixError */
export function sendDatagram(path: string, text: string): void {
  const address = Buffer.alloc(2 + SUN_PATH_BYTES);
  address.writeUInt16LE(AF_UNIX);
  const length = address.write(path.replace(/^@/, "\0"), 2, SUN_PATH_BYTES - 1);
  const fd = check(socketCall(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  try {
    const bytes = Buffer.from(text);
    if (sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, address, 2 + length) < 0) throw failure("sendto", path);
  } finally {
    close(fd);
  }
}
