/** A directory, with real system calls: a plain one, or one below a mountpoint. */

import { closeSync, readdirSync } from "node:fs";
import { PosixError } from "../../src/errors.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";

import * as file from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { getXattr, listXattrs, removeXattr, setXattr } from "../../src/sys/xattr.ts";
import * as calls from "../conformance/calls.ts";
import type { FileSystem, Seen } from "./file-system.ts";
import { listText } from "./model/apply.ts";

import { type Call, type Outcome, statText } from "./model/call.ts";
import { type Inode, join, type Mtime, type Path } from "./model/tree.ts";
import { contentOf, performData } from "./system-data.ts";

const AT = file.AT_FDCWD;

/** The nanoseconds of every time that is set, so that losing them shows. */
export const NS_OF_TIMES = 123_456_789n;
const NS = 1_000_000_000n;
/** For one entry of any name at a time. */
const ONE_ENTRY_BYTES = 280;
export const RENAME_FLAGS = { replace: 0, noreplace: file.RENAME_NOREPLACE, exchange: file.RENAME_EXCHANGE } as const;
export const XATTR_FLAGS = { set: 0, create: calls.XATTR_CREATE, replace: calls.XATTR_REPLACE } as const;

export function timeNs(seconds: number): bigint {
  return BigInt(seconds) * NS + NS_OF_TIMES;
}

/** What a stat says, with the rest given. A time since `sinceMs` is one at which something was done. */
export function inodeOfStat(
  stat: Pick<Stat, "mode" | "uid" | "gid" | "mtimeNs">,
  sinceMs: number,
  content: string,
  xattrs: Inode["xattrs"],
): Inode {
  const kinds: Readonly<Record<number, Inode["kind"]>> = {
    [file.S_IFREG]: "file",
    [file.S_IFDIR]: "directory",
    [file.S_IFLNK]: "symlink",
    [file.S_IFIFO]: "fifo",
  };
  const kind = kinds[stat.mode & file.S_IFMT];
  if (kind === undefined) throw new PosixError(5, `a file of mode ${stat.mode.toString(8)}`);
  const { uid, gid } = stat;
  return { kind, mode: stat.mode & 0o7777, uid, gid, mtime: mtimeOf(stat.mtimeNs, sinceMs), content, xattrs };
}

function mtimeOf(ns: bigint, sinceMs: number): Mtime {
  if (ns >= BigInt(sinceMs) * 1_000_000n) return "now";
  return ns % NS === NS_OF_TIMES ? Number(ns / NS) : Number(ns) / 1e9; // a fraction is no time that was set
}

export class SystemCalls implements FileSystem {
  readonly #root: HostPath;
  readonly #sinceMs: number;

  /** `sinceMs`: before that nothing was done here. */
  constructor(root: HostPath, sinceMs: number) {
    this.#root = root;
    this.#sinceMs = sinceMs;
  }

  names(directory: Path): readonly string[] {
    return readdirSync(bytesOf(this.#path(directory)), { encoding: "latin1" });
  }

  look(path: Path): Seen {
    const at = this.#path(path);
    const stat = statAt(AT, at);
    return { inode: this.#inode(at, stat), key: String(stat.ino) };
  }

  #inode(at: HostPath, stat: Stat): Inode {
    const kind = stat.mode & file.S_IFMT;
    const content = kind === file.S_IFREG ? contentOf(at) : kind === file.S_IFLNK ? file.readlinkAt(AT, at) : "";
    const names = listXattrs(at).filter(isCompared);
    const xattrs = names.map((name) => [name, getXattr(at, name)?.toString("latin1") ?? "lost"]);
    return inodeOfStat(stat, this.#sinceMs, content, Object.fromEntries(xattrs));
  }

  #path(path: Path): HostPath {
    return joinHost(this.#root, path);
  }

  perform(call: Call): Outcome {
    return this.#perform(call) ?? "done";
  }

  #perform(call: Call): Outcome | undefined {
    const path = "path" in call ? this.#path(call.path) : this.#root;
    switch (call.do) {
      case "create":
        return void closeSync(file.openAt(AT, path, file.O_CREAT | file.O_EXCL | file.O_WRONLY, call.mode));
      case "mkdir":
        return void file.mkdirAt(AT, path, call.mode);
      case "mkfifo":
        return void file.mknodAt(AT, path, file.S_IFIFO | call.mode);
      case "symlink":
        return void file.symlinkAt(call.target, AT, path);
      case "link":
        return void file.linkAt(AT, this.#path(call.from), AT, this.#path(call.to));
      case "rename":
        return void file.renameAt(AT, this.#path(call.from), AT, this.#path(call.to), RENAME_FLAGS[call.how]);
      case "unlink":
        return void file.unlinkAt(AT, path);
      case "rmdir":
        return void file.unlinkAt(AT, path, file.AT_REMOVEDIR);
      case "chmod":
        return void file.chmod(AT, path, call.mode);
      case "chown":
        return void file.chown(AT, path, call.uid, call.gid);
      case "utimens":
        return void file.setTimes(AT, path, timeNs(call.mtime), timeNs(call.mtime));
      case "setxattr":
        return void setXattr(path, call.name, bytesOf(call.value), XATTR_FLAGS[call.how]);
      case "removexattr":
        return void removeXattr(path, call.name);
      case "stat": {
        const stat = statAt(AT, path);
        return statText(this.#inode(path, stat), stat.nlink);
      }
      case "list":
        return listText(readdirSync(bytesOf(path), { encoding: "latin1" }));
      case "list changing":
        return listChanging(this, path, call);
      default:
        return performData(path, call);
    }
  }
}

/** Attributes that the host's security module adds are not the program's. */
function isCompared(name: string): boolean {
  return name !== "security.selinux";
}

/** One entry is listed before the directory is changed. */
function listChanging(self: FileSystem, path: HostPath, call: Extract<Call, { do: "list changing" }>): Outcome {
  const fd = file.openAt(AT, path, file.O_RDONLY | file.O_DIRECTORY);
  try {
    const entries = [...calls.getdents(fd, ONE_ENTRY_BYTES)];
    for (const change of changesOf(call)) tolerate(() => self.perform(change));
    entries.push(...calls.listRest(fd, ONE_ENTRY_BYTES));
    return listText(entries.map(({ name }) => name).filter((name) => isKept(name, call)));
  } finally {
    closeSync(fd);
  }
}

/** What is done to a directory while it is listed. */
export function changesOf({ path, made, removed }: Extract<Call, { do: "list changing" }>): readonly Call[] {
  return [
    { do: "create", path: join(path, made), mode: 0o644 },
    { do: "unlink", path: join(path, removed) },
  ];
}

/** Names that were there all the time. */
export function isKept(name: string, { made, removed }: Extract<Call, { do: "list changing" }>): boolean {
  return name !== "." && name !== ".." && name !== made && name !== removed;
}

export function tolerate(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof PosixError)) throw error;
  }
}
