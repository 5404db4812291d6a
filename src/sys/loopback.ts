/** Brings up the loopback interface of the network namespace that the calling thread is in (netdevice(7)). */

import { controlFile } from "./data.ts";
import { close } from "./file.ts";
import { check, declare } from "./libc.ts";

const socket = declare("int socket(int domain, int type, int protocol)");

const [AF_INET, SOCK_DGRAM, SOCK_CLOEXEC] = [2, 2, 0o2000000];
const [SIOCGIFFLAGS, SIOCSIFFLAGS] = [0x8913, 0x8914];
const IFF_UP = 1;
/** `struct ifreq`: 16 bytes of name, then the flags. */
const [REQUEST_BYTES, FLAGS_AT] = [40, 16];

/** @throws PosixError */
export function raiseLoopback(): void {
  const fd = check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  try {
    const request = Buffer.alloc(REQUEST_BYTES);
    request.write("lo", "latin1");
    controlFile(fd, SIOCGIFFLAGS, request);
    request.writeInt16LE(request.readInt16LE(FLAGS_AT) | IFF_UP, FLAGS_AT);
    controlFile(fd, SIOCSIFFLAGS, request);
  } finally {
    close(fd);
  }
}
