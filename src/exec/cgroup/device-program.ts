/**
 * Device rules as a program of the kernel's virtual machine, which cgroup v2 has instead of a device controller
 * (Documentation/bpf/standardization/instruction-set.rst; `struct bpf_cgroup_dev_ctx`). It gives 1 for what is allowed.
 */

import type { DeviceRule } from "./resources.ts";

const INSTRUCTION_BYTES = 8;

/** Operations: what follows is an immediate, and for those with X a register. */
const [LOAD_WORD, MOVE, MOVE_X, AND, SHIFT_RIGHT] = [0x61, 0xb7, 0xbf, 0x57, 0x77];
const [JUMP_UNLESS_EQUAL, JUMP_UNLESS_EQUAL_X, EXIT] = [0x55, 0x5d, 0x95];

/** The context is in the first; the result goes into R0. */
const [RESULT, CONTEXT, TYPE, ACCESS, MAJOR, MINOR, SCRATCH] = [0, 1, 2, 3, 4, 5, 6] as const;

/** Where in the context: type in the low half of the first word and access in the high half, then major and minor. */
const [ACCESS_TYPE_AT, MAJOR_AT, MINOR_AT] = [0, 4, 8];
const TYPES = { b: 1, c: 2 };
const ACCESSES: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const EVERY_ACCESS = 7;

interface Instruction {
  readonly operation: number;
  readonly to?: number;
  readonly from?: number;
  /** Of a load: where; of a jump: how many instructions behind the next. */
  readonly offset?: number;
  readonly value?: number;
}

/** The program that allows what one of `rules` does, and nothing else. */
export function deviceProgram(rules: readonly DeviceRule[]): Buffer {
  const parts = rules.map(instructionsOf);
  const last = parts.findIndex((part) => part.length === ALLOW.length); // it is for everything
  const instructions: readonly Instruction[] = [
    { operation: LOAD_WORD, to: TYPE, from: CONTEXT, offset: ACCESS_TYPE_AT },
    { operation: MOVE_X, to: ACCESS, from: TYPE },
    { operation: AND, to: TYPE, value: 0xffff },
    { operation: SHIFT_RIGHT, to: ACCESS, value: 16 },
    { operation: LOAD_WORD, to: MAJOR, from: CONTEXT, offset: MAJOR_AT },
    { operation: LOAD_WORD, to: MINOR, from: CONTEXT, offset: MINOR_AT },
    // The kernel takes no program with instructions that are never reached.
    ...(last < 0 ? [...parts.flat(), ...DENY] : parts.slice(0, last + 1).flat()),
  ];
  return Buffer.concat(instructions.map(encode));
}

const ALLOW: readonly Instruction[] = [{ operation: MOVE, to: RESULT, value: 1 }, { operation: EXIT }];
const DENY: readonly Instruction[] = [{ operation: MOVE, to: RESULT, value: 0 }, { operation: EXIT }];

/** Each check that fails jumps behind the end. */
function instructionsOf({ type, major, minor, access }: DeviceRule): readonly Instruction[] {
  const checks: Instruction[] = [];
  const unlessEqual = (to: number, value: number | undefined): void => {
    if (value !== undefined) checks.push({ operation: JUMP_UNLESS_EQUAL, to, value });
  };
  unlessEqual(TYPE, type === undefined ? undefined : TYPES[type]);
  const allowed = [...access].reduce((all, each) => all | (ACCESSES[each] ?? 0), 0);
  if (allowed !== EVERY_ACCESS) {
    checks.push({ operation: MOVE_X, to: SCRATCH, from: ACCESS }, { operation: AND, to: SCRATCH, value: allowed });
    checks.push({ operation: JUMP_UNLESS_EQUAL_X, to: SCRATCH, from: ACCESS });
  }
  unlessEqual(MAJOR, major);
  unlessEqual(MINOR, minor);
  const all = [...checks, ...ALLOW];
  const isJump = ({ operation }: Instruction): boolean =>
    operation === JUMP_UNLESS_EQUAL || operation === JUMP_UNLESS_EQUAL_X;
  return all.map((each, at) => (isJump(each) ? { ...each, offset: all.length - at - 1 } : each));
}

function encode({ operation, to = 0, from = 0, offset = 0, value = 0 }: Instruction): Buffer {
  const bytes = Buffer.alloc(INSTRUCTION_BYTES);
  bytes.writeUInt8(operation, 0);
  bytes.writeUInt8((from << 4) | to, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(value, 4);
  return bytes;
}
