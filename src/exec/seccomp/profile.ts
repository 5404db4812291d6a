/**
 * Filters of system calls as the runtime spec has them (runtime-spec, config-linux.md, "Seccomp"): the default one, and those
 * of files in docker's form, which is the spec's with conditions.
 */

import { UsageError } from "../../errors.ts";
import type { CapabilityName } from "../capabilities.ts";
import { ALLOWED_CALLS, CALLS_BY_CAPABILITY } from "./default-calls.ts";

export interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: string;
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArgument[];
}

export interface Seccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly syscalls?: readonly SeccompRule[];
}

const [ALLOW, ERRNO] = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"];
const [EPERM, ENOSYS] = [1, 38];
/** clone(2): CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const NEW_NAMESPACES = 0x7e02_0000;
/** personality(2): Linux, with the layout of 32 bits, without randomness, and the question what it is. */
const PERSONALITIES = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const AF_VSOCK = 40;

/** Native first: with the architectures that its processors run as well. */
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
};

function architectures(): readonly string[] {
  return ARCHITECTURES[process.arch] ?? [];
}

/** What a container with these capabilities may call; other calls fail with EPERM, clone3 with ENOSYS, so that clone is used. */
export function defaultProfile(capabilities: readonly CapabilityName[]): Seccomp {
  const more = capabilities.flatMap((name) => CALLS_BY_CAPABILITY[name]?.split(" ") ?? []);
  const mayMakeNamespaces = capabilities.includes("CAP_SYS_ADMIN");
  const noNamespaces = [{ index: 0, value: NEW_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }];
  return {
    defaultAction: ERRNO,
    defaultErrnoRet: EPERM,
    architectures: architectures(),
    syscalls: [
      { names: [...new Set([...ALLOWED_CALLS, ...more])], action: ALLOW },
      { names: ["clone"], action: ALLOW, ...(!mayMakeNamespaces && { args: noNamespaces }) },
      ...(mayMakeNamespaces ? [] : [{ names: ["clone3"], action: ERRNO, errnoRet: ENOSYS }]),
      ...PERSONALITIES.map((value) => ({
        names: ["personality"],
        action: ALLOW,
        args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
      })),
      { names: ["socket"], action: ALLOW, args: [{ index: 0, value: AF_VSOCK, op: "SCMP_CMP_NE" }] },
    ],
  };
}

const ACTION = /^SCMP_ACT_(?:ALLOW|ERRNO|KILL|KILL_PROCESS|KILL_THREAD|LOG|TRACE|TRAP)$/;
const OPERATOR = /^SCMP_CMP_(?:EQ|NE|LT|LE|GE|GT|MASKED_EQ)$/;

/**
 * The profile of a file for a container with these capabilities.
 * @throws {UsageError} `ERR_SECCOMP_PROFILE`
 */
export function parseProfile(text: string, capabilities: readonly CapabilityName[]): Seccomp {
  const document = fields(readJson(text), "the profile");
  const { defaultAction, syscalls = [], defaultErrnoRet } = document;
  const own = listOf(document.architectures ?? architectures(), "architectures").map(String);
  return {
    defaultAction: action(defaultAction),
    ...(defaultErrnoRet !== undefined && { defaultErrnoRet: numberOf(defaultErrnoRet, "defaultErrnoRet") }),
    architectures: own.length > 0 ? own : architectures(),
    syscalls: listOf(syscalls, "syscalls").flatMap((each) => ruleOf(fields(each, "a rule"), capabilities)),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function ruleOf(rule: Fields, capabilities: readonly CapabilityName[]): readonly SeccompRule[] {
  const { includes = {}, excludes = {}, args = [], errnoRet } = rule;
  const names = listOf(rule.names ?? [rule.name], "names").map((name) => textOf(name, "names"));
  const made = { names, action: action(rule.action), args: listOf(args ?? [], "args").map(argumentOf) };
  if (!applies(fields(includes ?? {}, "includes"), capabilities, true)) return [];
  if (applies(fields(excludes ?? {}, "excludes"), capabilities, false)) return [];
  return [{ ...made, ...(errnoRet !== undefined && { errnoRet: numberOf(errnoRet, "errnoRet") }) }];
}

/** docker's conditions: all of "includes" have to hold, and any of "excludes" keeps a rule away. */
function applies({ caps = [], arches = [], minKernel }: Fields, held: readonly string[], isEvery: boolean): boolean {
  const names: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
  const conditions = [
    ...listOf(caps ?? [], "caps").map((name) => held.includes(textOf(name, "caps"))),
    ...(listOf(arches ?? [], "arches").length > 0 ? [listOf(arches, "arches").includes(names[process.arch])] : []),
    ...(minKernel === undefined ? [] : [isKernelSince(textOf(minKernel, "minKernel"))]),
  ];
  return isEvery ? conditions.every(Boolean) : conditions.some(Boolean);
}

function isKernelSince(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [ownMajor = 0, ownMinor = 0] = process.getBuiltinModule("node:os").release().split(".").map(Number.parseFloat);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function argumentOf(value: unknown): SeccompArgument {
  const { index, value: wanted, valueTwo, op } = fields(value, "args");
  if (!OPERATOR.test(String(op))) throw bad(`"${String(op)}" is no operator`);
  return {
    index: numberOf(index, "index"),
    value: numberOf(wanted, "value"),
    ...(valueTwo !== undefined && { valueTwo: numberOf(valueTwo, "valueTwo") }),
    op: String(op),
  };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw bad(error instanceof Error ? error.message : "it is no JSON");
  }
}

function fields(value: unknown, what: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw bad(`${what} is not an object`);
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw bad(`"${what}" is not a list`);
}

function textOf(value: unknown, what: string): string {
  if (typeof value === "string") return value;
  throw bad(`"${what}" has something that is no text`);
}

function numberOf(value: unknown, what: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw bad(`"${what}" is not a whole number`);
}

function action(value: unknown): string {
  const text = String(value);
  if (ACTION.test(text)) return text;
  throw bad(`"${text}" is no action`);
}

function bad(state: string): UsageError {
  return new UsageError("ERR_SECCOMP_PROFILE", `Cannot use the seccomp profile: ${state}`);
}
