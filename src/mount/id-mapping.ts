/** User and group ids of a user namespace (user_namespaces(7)): which of the host stand for which of the container. */

import { readFileSync } from "node:fs";
import { UsageError } from "../errors.ts";
import { isInUserNamespace } from "../privilege.ts";

/** A range, in the words of runtime-spec, config-linux.md, "User namespace mappings". */
export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** Both have the container's 0. */
export interface IdMappings {
  readonly uids: readonly IdMapping[];
  readonly gids: readonly IdMapping[];
}

const MOST_RANGES = 340; // of the kernel
const LARGEST = 0xffff_fffe;

/** The host's id for one of the container; null if it has none. */
export function hostIdOf(ranges: readonly IdMapping[], id: number): number | null {
  const range = ranges.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range === undefined ? null : range.hostID + (id - range.containerID);
}

/** The container's id for one of the host; null if it has none. */
export function containerIdOf(ranges: readonly IdMapping[], id: number): number | null {
  const range = ranges.find(({ hostID, size }) => id >= hostID && id < hostID + size);
  return range === undefined ? null : range.containerID + (id - range.hostID);
}

/** The host's ids for the container's root. */
export function rootOf({ uids, gids }: IdMappings): { readonly uid: number; readonly gid: number } {
  return { uid: hostIdOf(uids, 0) ?? 0, gid: hostIdOf(gids, 0) ?? 0 };
}

/**
 * CONTAINER:HOST[:SIZE], as podman takes them.
 * @throws {UsageError} `ERR_ID_MAPPING`, also where ranges overlap or none has the container's 0
 */
export function parseIdMappings(texts: readonly string[]): readonly IdMapping[] {
  const ranges = texts.map((text) => {
    const [, containerID = "", hostID = "", size = "1"] = /^(\d{1,10}):(\d{1,10})(?::(\d{1,10}))?$/.exec(text) ?? [];
    const range = { containerID: Number(containerID), hostID: Number(hostID), size: Number(size) };
    const isInRange = Math.max(range.containerID, range.hostID) + range.size - 1 <= LARGEST;
    if (containerID !== "" && range.size > 0 && isInRange) return range;
    throw badMapping(text, "it is not CONTAINER:HOST:SIZE");
  });
  const all = texts.join(" ");
  if (ranges.length > MOST_RANGES) throw badMapping(all, `the kernel takes ${MOST_RANGES} ranges`);
  if (overlap(ranges, "containerID") || overlap(ranges, "hostID")) throw badMapping(all, "two ranges overlap");
  if (hostIdOf(ranges, 0) === null) throw badMapping(all, "the container's id 0 is in no range");
  return ranges;
}

function overlap(ranges: readonly IdMapping[], side: "containerID" | "hostID"): boolean {
  const sorted = ranges.toSorted((a, b) => a[side] - b[side]);
  return sorted.some(
    (range, at) => at > 0 && range[side] < (sorted[at - 1]?.[side] ?? 0) + (sorted[at - 1]?.size ?? 0),
  );
}

function badMapping(text: string, state: string): UsageError {
  return new UsageError("ERR_ID_MAPPING", `Cannot use id mapping "${text}": ${state}`, { data: { mapping: text } });
}

/** The ids that this process has where it is in a user namespace but the first; null in that, which has all. */
export function ownMappings(): IdMappings | null {
  return isInUserNamespace() ? mappingsOfProcess("self") : null;
}

/** The mappings of the user namespace that process `pid` is in, as this process sees them. @throws a system error */
export function mappingsOfProcess(pid: number | "self"): IdMappings {
  return { uids: readMap(`/proc/${pid}/uid_map`), gids: readMap(`/proc/${pid}/gid_map`) };
}

function readMap(path: string): readonly IdMapping[] {
  const lines = readFileSync(path, "latin1").trimEnd().split("\n");
  return lines.map((line) => {
    const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number);
    return { containerID, hostID, size };
  });
}

/** As /proc/PID/uid_map takes them. */
export function formatMap(ranges: readonly IdMapping[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}

/** CONTAINER:HOST:SIZE of each, with `separator` between them. */
export function formatRanges(ranges: readonly IdMapping[], separator: string): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID}:${hostID}:${size}`).join(separator);
}

export type SubIdFile = "/etc/subuid" | "/etc/subgid";

/** The ranges of the host that `name` (or its number, `id`) may give to containers (subuid(5)); nothing if it may none. */
export function subIdsOf(file: SubIdFile, name: string, id?: number): readonly Omit<IdMapping, "containerID">[] {
  let text: string;
  try {
    text = readFileSync(file, "latin1");
  } catch {
    return []; // there is none
  }
  return text.split("\n").flatMap((line) => {
    const [owner = "", start = "", size = ""] = line.split(":");
    const isOurs = (owner === name || owner === String(id)) && /^\d{1,10}$/.test(start) && /^\d{1,10}$/.test(size);
    return isOurs && Number(size) > 0 ? [{ hostID: Number(start), size: Number(size) }] : [];
  });
}

/** Ranges of the host, given to the container's ids from 0 on. */
export function stacked(ranges: readonly Omit<IdMapping, "containerID">[]): readonly IdMapping[] {
  let containerID = 0;
  return ranges.map(({ hostID, size }) => {
    const range = { containerID, hostID, size };
    containerID += size;
    return range;
  });
}
