/** Which namespaces a container is to have, as docker and podman spell it: parsed and refused before anything is made. */

import { UsageError } from "../../src/errors.ts";
import type { Clock, TimeOffset } from "../../src/exec/runtime-spec.ts";
import { parseIdMappings } from "../../src/mount/id-mapping.ts";

/** As they were given; what is not there is the default. */
export interface NamespaceTexts {
  readonly pid?: string;
  readonly ipc?: string;
  readonly uts?: string;
  readonly cgroupns?: string;
  readonly userns?: string;
  readonly timens?: string;
  readonly timeOffset?: readonly string[];
  readonly uidmap?: readonly string[];
  readonly gidmap?: readonly string[];
  readonly subuidname?: string;
  readonly subgidname?: string;
}

/** Those that have no more than a mode. */
export type PlainNamespace = "pid" | "ipc" | "uts" | "cgroupns" | "timens";

export type NamespaceMode =
  | { readonly kind: "host" | "private" | "shareable" }
  | { readonly kind: "container"; readonly name: string };

/** The modes of each besides container:NAME; the first is the default. */
const MODES: Readonly<Record<PlainNamespace, readonly ("host" | "private" | "shareable")[]>> = {
  pid: ["private", "host"],
  ipc: ["private", "host", "shareable"],
  uts: ["private", "host"],
  cgroupns: ["private", "host"],
  timens: ["host", "private"],
};

/** The mode that was asked for. @throws {UsageError} `ERR_NAMESPACE` */
export function namespaceMode(texts: NamespaceTexts, type: PlainNamespace): NamespaceMode {
  const modes = MODES[type];
  const isShifted = type === "timens" && (texts.timeOffset ?? []).length > 0;
  const text = texts[type] ?? (isShifted ? "private" : modes[0]) ?? "";
  const kind = modes.find((mode) => mode === text);
  if (kind !== undefined) return { kind };
  if (type !== "cgroupns" && text.startsWith("container:") && text.length > "container:".length) {
    return { kind: "container", name: text.slice("container:".length) };
  }
  const others = type === "cgroupns" ? modes.join(" nor ") : `${modes.join(", ")} nor container:NAME`;
  throw wrong(type, text, `it is neither ${others}`);
}

export type UserNamespaceMode =
  | { readonly kind: "host" | "keep-id" }
  | { readonly kind: "mapped" }
  | { readonly kind: "auto"; readonly size: number }
  | { readonly kind: "container"; readonly name: string };

const AUTO_SIZE = 65_536;
const MAPPINGS = ["uidmap", "gidmap", "subuidname", "subgidname"] as const;

/** @throws {UsageError} `ERR_NAMESPACE`, `ERR_ID_MAPPING` */
export function userNamespaceMode(texts: NamespaceTexts): UserNamespaceMode {
  const given = MAPPINGS.filter((name) => texts[name] !== undefined);
  const text = texts.userns ?? (given.length > 0 ? "private" : "host");
  if (text !== "private" && given.length > 0) {
    throw wrong("userns", text, `--${given[0]} makes a user namespace of its own; leave one of them away`);
  }
  for (const name of ["uidmap", "gidmap"] as const) if (texts[name] !== undefined) parseIdMappings(texts[name]);
  if (texts.uidmap !== undefined && texts.subuidname !== undefined) {
    throw wrong("uidmap", texts.uidmap.join(" "), "--subuidname says the same; leave one of them away");
  }
  switch (text) {
    case "host":
    case "":
      return { kind: "host" };
    case "private":
      return { kind: "mapped" };
    case "keep-id":
      return { kind: "keep-id" };
  }
  const [auto, size = String(AUTO_SIZE)] = /^auto(?::size=(\d{1,9}))?$/.exec(text) ?? [];
  if (auto !== undefined && Number(size) > 0) return { kind: "auto", size: Number(size) };
  if (text.startsWith("container:") && text.length > "container:".length) {
    return { kind: "container", name: text.slice("container:".length) };
  }
  throw wrong("userns", text, "it is neither host, private, auto, auto:size=N, keep-id nor container:NAME");
}

const LARGEST_SECONDS = 2 ** 31;

/** CLOCK=SECONDS. @throws {UsageError} `ERR_TIME_OFFSET` */
export function timeOffsetsOf({ timeOffset = [] }: NamespaceTexts): Readonly<Partial<Record<Clock, TimeOffset>>> {
  const offsets: Partial<Record<Clock, TimeOffset>> = {};
  for (const text of timeOffset) {
    const [, clock, seconds] = /^(monotonic|boottime)=(-?\d{1,10})$/.exec(text) ?? [];
    if (clock === undefined || Math.abs(Number(seconds)) > LARGEST_SECONDS) {
      const state = "it is not monotonic=SECONDS or boottime=SECONDS";
      throw new UsageError("ERR_TIME_OFFSET", `Cannot use time offset "${text}": ${state}`);
    }
    offsets[clock as Clock] = { secs: Number(seconds), nanosecs: 0 };
  }
  return offsets;
}

/** Checks what needs no store. `hostname` is the container's, if one was given. @throws {UsageError} */
export function checkNamespaces(texts: NamespaceTexts, hostname: string | undefined): void {
  for (const type of Object.keys(MODES) as readonly PlainNamespace[]) namespaceMode(texts, type);
  userNamespaceMode(texts);
  timeOffsetsOf(texts);
  const { timens, timeOffset = [], uts } = texts;
  if (timeOffset.length > 0 && timens !== undefined && timens !== "private") {
    throw wrong("timens", timens, "--time-offset takes a time namespace of its own; leave one of them away");
  }
  if (hostname !== undefined && namespaceMode(texts, "uts").kind !== "private") {
    throw wrong("uts", uts ?? "", "--hostname takes a UTS namespace of its own; leave one of them away");
  }
}

function wrong(option: string, text: string, state: string): UsageError {
  return new UsageError("ERR_NAMESPACE", `Cannot use --${option} "${text}": ${state}`, {
    data: { option, value: text },
  });
}
