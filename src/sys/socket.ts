/** A pair of sockets, and a descriptor that comes through one (unix(7), SCM_RIGHTS; cmsg(3)). */

import { addressOf, check, declare } from "./libc.ts";

const socketpairCall = declare("int socketpair(int domain, int type, int protocol, void *pair)");
const recvmsgCall = declare<number>("int64_t recvmsg(int fd, void *message, int flags)");

const [AF_UNIX, SOCK_STREAM, SOCK_CLOEXEC] = [1, 1, 0o2000000];
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const [SOL_SOCKET, SCM_RIGHTS] = [1, 1];
/** `struct msghdr`, `struct iovec` and a `struct cmsghdr` with one descriptor, of 64-bit machines. */
const [MESSAGE_BYTES, VECTOR_BYTES, CONTROL_BYTES] = [56, 16, 24];
const CMSG_LENGTH = 20;

/** Two connected stream sockets, closed in programs that are started. The caller closes both. @throws PosixError */
export function socketPair(): readonly [number, number] {
  const pair = Buffer.alloc(8);
  check(socketpairCall(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}

/** The descriptor that a message brings, closed in programs that are started; null if it brings none. Waits. @throws PosixError */
export function receiveDescriptor(socket: number): number | null {
  const [message, vector, control] = [MESSAGE_BYTES, VECTOR_BYTES, CONTROL_BYTES].map((size) =>
    Buffer.allocUnsafeSlow(size).fill(0),
  ) as [Buffer, Buffer, Buffer];
  const byte = Buffer.allocUnsafeSlow(8);
  vector.writeBigUInt64LE(addressOf(byte), 0);
  vector.writeBigUInt64LE(1n, 8);
  message.writeBigUInt64LE(addressOf(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
  check(Number(recvmsgCall(socket, message, MSG_CMSG_CLOEXEC)), "recvmsg");
  const isDescriptor =
    message.readBigUInt64LE(40) >= CMSG_LENGTH &&
    control.readBigUInt64LE(0) === BigInt(CMSG_LENGTH) &&
    control.readInt32LE(8) === SOL_SOCKET &&
    control.readInt32LE(12) === SCM_RIGHTS;
  return isDescriptor ? control.readInt32LE(16) : null;
}
