/**
 * The mount table, /proc/self/mountinfo (proc_pid_mountinfo(5)), read as bytes. A table may have thousands of lines, so
 * a line is taken apart only when its mount point is the one looked for, or its type.
 */

import { readFileSync } from "node:fs";
import { byteString, type HostPath } from "../paths.ts";
import { unescapePath } from "./classic-mount.ts";

/** One line of the table. Paths are byte strings with the kernel's escapes undone. */
export interface MountInfo {
  readonly id: number;
  readonly parentId: number;
  readonly devMajor: number;
  readonly devMinor: number;
  /** The directory of the file system that is mounted. */
  readonly root: HostPath;
  readonly target: HostPath;
  readonly readOnly: boolean;
  readonly type: string;
  readonly source: string;
  /** The file system's own options, in order; the value is "" for one without. */
  readonly superOptions: readonly (readonly [name: string, value: string])[];
}

/** The directories of an overlay mount as the kernel knows them. lowerdirs top first. */
export interface OverlayDirectories {
  readonly lowerdirs: readonly string[];
  readonly upperdir: string | null;
  readonly workdir: string | null;
}

/** The whole table as a byte string. @throws Node's system error if /proc is not mounted */
export function readMountTable(): string {
  return byteString(readFileSync("/proc/self/mountinfo"));
}

/** The topmost mount at exactly this directory; null if nothing is mounted there. `target` is absolute and canonical. */
export function findMount(target: HostPath, table: string = readMountTable()): MountInfo | null {
  const here = parseLines(table, (line) => mountPointOf(line) === target);
  const below = new Set(here.map((mount) => mount.parentId));
  return here.findLast((mount) => !below.has(mount.id)) ?? here.at(-1) ?? null;
}

/** The mounts of a type, or of one of several, in the order of the table. */
export function mountsOfType(
  types: string | readonly string[],
  table: string = readMountTable(),
): readonly MountInfo[] {
  const marks = [types].flat().map((type) => ` - ${type} `);
  return parseLines(table, (line) => marks.some((mark) => line.includes(mark)));
}

/** The mounts at or below a directory, in the order of the table. */
export function mountsBelow(directory: HostPath, table: string = readMountTable()): readonly MountInfo[] {
  const inside = directory === "/" ? "/" : `${directory}/`;
  return parseLines(table, (line) => {
    const mountPoint = mountPointOf(line);
    return mountPoint === directory || mountPoint.startsWith(inside);
  });
}

/** The layers of an overlay mount; null for another type. */
export function overlayDirectories(mount: MountInfo): OverlayDirectories | null {
  if (mount.type !== "overlay") return null;
  // Set one by one the kernel keeps paths as they are; from mount(2) it shows its escapes too.
  const single = mount.superOptions.filter(([name]) => name === "lowerdir+").map(([, value]) => value);
  const joined = mount.superOptions.find(([name]) => name === "lowerdir")?.[1];
  const decode = joined === undefined ? (value: string): string => value : unescapePath;
  const pathOf = (key: string): string | null => {
    const value = mount.superOptions.find(([name]) => name === key)?.[1];
    return value === undefined ? null : decode(value);
  };
  return {
    lowerdirs: joined === undefined ? single : (joined.match(/(?:[^\\:]|\\.)+/gs) ?? []).map(decode),
    upperdir: pathOf("upperdir"),
    workdir: pathOf("workdir"),
  };
}

function parseLines(table: string, wanted: (line: string) => boolean): readonly MountInfo[] {
  return table
    .split("\n")
    .filter((line) => line !== "" && wanted(line))
    .map(parseLine);
}

/** The fifth field. */
function mountPointOf(line: string): string {
  let start = 0;
  for (let field = 0; field < 4; field++) start = line.indexOf(" ", start) + 1;
  return unescapeField(line.slice(start, line.indexOf(" ", start)));
}

function parseLine(line: string): MountInfo {
  const fields = line.split(" ");
  const separator = fields.indexOf("-", 6); // optional fields before it: shared:N, master:N …
  const [id = "", parentId = "", device = "", root = "", target = "", options = ""] = fields;
  const [type = "", source = "", superOptions = ""] = fields.slice(separator + 1);
  const [major = "", minor = ""] = device.split(":");
  return {
    id: Number(id),
    parentId: Number(parentId),
    devMajor: Number(major),
    devMinor: Number(minor),
    root: unescapeField(root) as HostPath,
    target: unescapeField(target) as HostPath,
    readOnly: options.split(",").includes("ro"),
    type: unescapeField(type),
    source: unescapeField(source),
    superOptions: superOptions.split(",").map(parseOption),
  };
}

function parseOption(text: string): readonly [string, string] {
  const equals = text.indexOf("=");
  return equals < 0 ? [unescapeField(text), ""] : [text.slice(0, equals), unescapeField(text.slice(equals + 1))];
}

function unescapeField(field: string): string {
  if (!field.includes("\\")) return field;
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
