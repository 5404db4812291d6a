/** Users and groups of a container, looked up in its own /etc/passwd and /etc/group and never in the host's. */

import { readSync } from "node:fs";
import { isErrno, NotFoundError, UsageError } from "../errors.ts";
import { byteString, display, hostPath } from "../paths.ts";
import { close, O_NONBLOCK, O_RDONLY, openInRoot, S_IFMT, S_IFREG } from "../sys/file.ts";
import { statAt } from "../sys/stat.ts";
import type { ContainerUser } from "./runtime-spec.ts";

/** The most that is read of a file of names: a hostile image has larger ones. */
const LIMIT_BYTES = 4 * 2 ** 20;
const LARGEST_ID = 2 ** 31 - 1;

export interface KnownUser extends ContainerUser {
  /** The home directory, a byte string; "/" if the user has no line. */
  readonly home: string;
}

/**
 * The user that `text` means: "", "USER", "UID", and with ":GROUP" or ":GID" behind, as docker has them. `root` is the open
 * root of the tree. A user without a line in /etc/passwd is in group 0.
 * @throws {NotFoundError} `ERR_USER_NOT_FOUND`, `ERR_GROUP_NOT_FOUND`
 * @throws {UsageError} `ERR_USER_FORMAT` for an id out of range
 */
export function findUser(root: number, text: string): KnownUser {
  const wanted = hostPath(text) as string;
  const colon = wanted.indexOf(":");
  const [user, group] = colon < 0 ? [wanted, ""] : [wanted.slice(0, colon), wanted.slice(colon + 1)];
  const line = findLine(readNames(root, "etc/passwd"), user === "" ? "0" : user);
  const uid = line === null ? idOf(user === "" ? "0" : user) : idOf(line[2] ?? "");
  if (uid === null) throw notFound("ERR_USER_NOT_FOUND", "user", user, "/etc/passwd");
  const home = line?.[5] === undefined || line[5] === "" ? "/" : line[5];
  const groups = readNames(root, "etc/group");
  if (group !== "") return { uid, gid: groupId(groups, group), additionalGids: [], home };
  const gid = (line === null ? null : idOf(line[3] ?? "")) ?? 0;
  return { uid, gid, additionalGids: line === null ? [] : groupsOf(groups, line[0] ?? "", gid), home };
}

function groupId(groups: readonly (readonly string[])[], group: string): number {
  const line = findLine(groups, group);
  const gid = idOf(line === null ? group : (line[2] ?? ""));
  if (gid === null) throw notFound("ERR_GROUP_NOT_FOUND", "group", group, "/etc/group");
  return gid;
}

/** A name wins over a number, also one that looks like a number. */
function findLine(lines: readonly (readonly string[])[], wanted: string): readonly string[] | null {
  return lines.find(([name]) => name === wanted) ?? lines.find(([, , id]) => id === wanted) ?? null;
}

function groupsOf(groups: readonly (readonly string[])[], name: string, gid: number): readonly number[] {
  const ids = groups
    .filter(([, , , members = ""]) => members.split(",").includes(name))
    .map(([, , id = ""]) => idOf(id))
    .filter((id) => id !== null && id !== gid);
  return [...new Set(ids as number[])];
}

/** null for what is no number. */
function idOf(text: string): number | null {
  if (!/^[0-9]+$/.test(text)) return null;
  const id = Number(text);
  if (id <= LARGEST_ID) return id;
  throw new UsageError("ERR_USER_FORMAT", `Cannot use id ${text}: the largest is ${LARGEST_ID}`);
}

function notFound(code: string, what: string, name: string, file: string): NotFoundError {
  const message = `Cannot run as ${what} "${display(name)}": the image's ${file} has none of this name`;
  return new NotFoundError(code, message, { data: { [what]: display(name) } });
}

/** The fields of each line; nothing if there is no such file. */
function readNames(root: number, path: string): readonly (readonly string[])[] {
  const text = readInRoot(root, path);
  return text.split("\n").map((line) => line.replace(/\r$/, "").split(":"));
}

function readInRoot(root: number, path: string): string {
  let fd: number;
  try {
    fd = openInRoot(root, path, O_RDONLY | O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return "";
    throw error;
  }
  try {
    const { mode, sizeBytes } = statAt(fd, null);
    if ((mode & S_IFMT) !== S_IFREG) return "";
    const buffer = Buffer.alloc(Math.min(sizeBytes, LIMIT_BYTES));
    return byteString(buffer.subarray(0, readSync(fd, buffer)));
  } finally {
    close(fd);
  }
}
