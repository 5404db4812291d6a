/** Programs that the kernel asks whether a device may be used: bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE. */

import { close } from "./file.ts";
import { addressOf, check, declare } from "./libc.ts";

const bpfCall = declare(
  "long syscall(long number, int command, void *attributes, size_t size, long d, long e, long f)",
);
const SYS_BPF = process.arch === "arm64" ? 280 : 321;

const [BPF_PROG_LOAD, BPF_PROG_ATTACH] = [5, 8];
const [BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE] = [15, 6];
/** Programs of the groups above stay in force. */
const BPF_F_ALLOW_MULTI = 2;

const INSTRUCTION_BYTES = 8;
/** `union bpf_attr` up to `kern_version`, which is all that is used; the kernel takes the rest for zeros. */
const ATTRIBUTE_BYTES = 48;

/**
 * Makes `program`, a device program's instructions, hold for the group that is open as `group`, and for those below, as long
 * as it is there.
 * @throws PosixError
 */
export function attachDeviceProgram(group: number, program: Buffer): void {
  const license = Buffer.from("Apache-2.0\0");
  const load = Buffer.alloc(ATTRIBUTE_BYTES);
  load.writeUInt32LE(BPF_PROG_TYPE_CGROUP_DEVICE, 0);
  load.writeUInt32LE(program.length / INSTRUCTION_BYTES, 4);
  load.writeBigUInt64LE(addressOf(program), 8);
  load.writeBigUInt64LE(addressOf(license), 16);
  const fd = bpf(BPF_PROG_LOAD, load);
  try {
    const attach = Buffer.alloc(16);
    attach.writeUInt32LE(group, 0);
    attach.writeUInt32LE(fd, 4);
    attach.writeUInt32LE(BPF_CGROUP_DEVICE, 8);
    attach.writeUInt32LE(BPF_F_ALLOW_MULTI, 12);
    bpf(BPF_PROG_ATTACH, attach);
  } finally {
    close(fd);
  }
}

function bpf(command: number, attributes: Buffer): number {
  return check(Number(bpfCall(SYS_BPF, command, attributes, attributes.length, 0, 0, 0)), "bpf");
}
