/** Devices of this host in a container: which there are, and which a user asks for. */

import { readdirSync, type Stats, statSync } from "node:fs";
import { isErrno, UsageError } from "../errors.ts";
import type { DeviceRule } from "./cgroup/resources.ts";
import type { Device } from "./runtime-spec.ts";

/** What has mounts of its own, or is a link. */
const NOT_DEVICES = new Set(["pts", "shm", "mqueue", "hugepages", "fd", "core", "stdin", "stdout", "stderr", "ptmx"]);
const OWN = new Set(["console", "full", "null", "random", "tty", "urandom", "zero"]);

/** Every device of the host that a container does not have anyway: for `--privileged`. */
export function hostDevices(directory = "/dev"): readonly Device[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (directory === "/dev" && (NOT_DEVICES.has(entry.name) || OWN.has(entry.name))) return [];
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return hostDevices(path);
    return [deviceAt(path)].filter((device) => device !== null);
  });
}

/** The device of this host at `path`; null if there is none. @throws a system error */
export function deviceAt(path: string): Device | null {
  const stat = statOrNull(path);
  if (stat === null || !(stat.isCharacterDevice() || stat.isBlockDevice())) return null;
  const { mode, rdev, uid, gid } = stat;
  // glibc's major(3) and minor(3), for the 32 bits that numbers of devices have.
  const [major, minor] = [(rdev >>> 8) & 0xfff, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)];
  return { path, type: stat.isBlockDevice() ? "b" : "c", major, minor, fileMode: mode & 0o7777, uid, gid };
}

function statOrNull(path: string): Stats | null {
  try {
    return statSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
}

/** A device that a container gets, and what it may do with it. */
export interface GivenDevice {
  readonly device: Device;
  readonly rule: DeviceRule;
}

/**
 * SRC[:DST][:PERMISSIONS], as docker has it: a device of this host, its path in the container, and what of "rwm".
 * @throws {UsageError} `ERR_DEVICE`
 */
export function parseDevice(text: string): GivenDevice {
  const [source = "", ...rest] = text.split(":");
  const access = rest.length === 2 || isAccess(rest.at(-1) ?? "") ? (rest.pop() ?? "") : "rwm";
  const [path = source] = rest;
  if (rest.length > 1 || !isAccess(access)) throw badDevice(text, "it is not SRC, SRC:DST or SRC:DST:PERMISSIONS");
  for (const each of [source, path]) {
    if (!each.startsWith("/")) throw badDevice(text, `"${each}" is not an absolute path`);
  }
  if (path.split("/").includes("..")) throw badDevice(text, 'its place has a ".."');
  const device = deviceAt(source);
  if (device === null) throw badDevice(text, `"${source}" is no device of this host`);
  const { type, major, minor } = device;
  return { device: { ...device, path, source }, rule: { allow: true, type, major, minor, access } };
}

function isAccess(text: string): boolean {
  return /^[rwm]{1,3}$/.test(text);
}

function badDevice(text: string, state: string): UsageError {
  return new UsageError("ERR_DEVICE", `Cannot use device "${text}": ${state}`, { data: { device: text } });
}
