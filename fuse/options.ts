/**
 * The options of a union mount (`-o lowerdir=A:B,upperdir=U,…`), as overlayfs and fuse-overlayfs spell them. What is not
 * known is ignored and told, because container tools pass each other's options along.
 */

import { UsageError } from "../src/errors.ts";
import type { HostPath } from "../src/paths.ts";

/** A contiguous run of ids: on disk, as shown, how many. */
export interface IdRange {
  readonly onDisk: number;
  readonly shown: number;
  readonly count: number;
}

/** How the kernel is talked to: by us, or by libfuse 2 through the package fuse-native. */
export const TRANSPORTS = ["device", "fuse-native"] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface FuseOptions {
  readonly transport: Transport;
  /** Top first. */
  readonly lowerdirs: readonly HostPath[];
  readonly upperdir: HostPath | null;
  readonly workdir: HostPath | null;
  readonly readOnly: boolean;
  /** Overlay attributes are `user.overlay.*`. null: whatever this process may use. */
  readonly userxattr: boolean | null;
  /** `.wh.` names in layers are whiteouts. */
  readonly aufs: boolean;
  readonly redirectDir: boolean;
  readonly followRedirect: boolean;
  /** Nothing is synced. */
  readonly volatile: boolean;
  readonly writeback: boolean;
  readonly passthrough: boolean;
  readonly posixAcl: boolean;
  /** Owner, mode and type of files of the upperdir: 0 in the file itself, 1 and 2 in an attribute, `security.*` or `user.*`. */
  readonly xattrPermissions: 0 | 1 | 2;
  /** Layers whose root has such an attribute have it on all files. */
  readonly findOverrides: boolean;
  /** Directories have one link. */
  readonly staticNlink: boolean;
  /** How long the kernel may remember, in seconds. */
  readonly timeoutSeconds: number;
  readonly uidMapping: readonly IdRange[];
  readonly gidMapping: readonly IdRange[];
  readonly squashUid: number | null;
  readonly squashGid: number | null;
  /** Extended attributes are not served. */
  readonly noXattrs: boolean;
  /** Other users may use the mount: through fusermount3, which asks /etc/fuse.conf. Root's are for all. */
  readonly allowOther: boolean;
  readonly debug: boolean;
  /** For mount(2): suid, dev, exec, atime and the like. */
  readonly mountFlags: readonly string[];
  /** `context="…"` and its kin, for mount(2). */
  readonly context: string | null;
  /** What the mount table shows as the source. */
  readonly source: string;
  /** What was not understood. */
  readonly ignored: readonly string[];
}

const MOUNT_FLAGS = ["suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime", "diratime", "nodiratime"];
/** Understood, and what they ask for is so anyway. */
const IMPLIED = new Set([
  "allow_root",
  "default_permissions",
  "rw",
  "fsync",
  "sync",
  "async",
  "big_writes",
  "auto_unmount",
  "fast_ino",
  "threaded",
  "kernel_cache",
  "max_write",
  "ino32_t",
  "splice_read",
  "splice_write",
  "splice_move",
  "no_splice_read",
  "no_splice_write",
  "no_splice_move",
  "xino",
  "index",
  "metacopy",
  "subtype",
]);
const MAX_TIMEOUT_SECONDS = 1e9;

/** Options by name while they are understood; what is left in the end was not. */
class Given {
  readonly mountFlags: string[] = [];
  readonly #values = new Map<string, string | null>();

  constructor(text: string) {
    for (const part of splitEscaped(text, ",")) {
      if (part === "") continue;
      const equals = part.indexOf("=");
      const name = equals < 0 ? part : part.slice(0, equals);
      if (MOUNT_FLAGS.includes(name)) this.mountFlags.push(name);
      else this.#values.set(name, equals < 0 ? null : part.slice(equals + 1));
    }
  }

  /** The value; null if it has none, undefined if it is not given. */
  take(name: string): string | null | undefined {
    const value = this.#values.get(name);
    this.#values.delete(name);
    return value;
  }

  isSet(name: string): boolean {
    return isOn(this.take(name));
  }

  /** A number, or null if it is not given. */
  number(name: string, most: number): number | null {
    const text = this.take(name);
    return text ? numberOf(name, text, most) : null;
  }

  get rest(): readonly string[] {
    return [...this.#values.keys()].filter((name) => !IMPLIED.has(name));
  }
}

const MAX_ID = 0xffff_fffe;

/**
 * Parses `-o` arguments, joined by commas: a byte string.
 * @throws {UsageError} `ERR_MOUNT_OPTION` for what cannot be: no lowerdir, an upperdir without a workdir, a bad number
 */
export function parseFuseOptions(text: string): FuseOptions {
  const given = new Given(text);
  const directories = directoriesOf(given);
  const redirect = given.take("redirect_dir");
  const userxattr = given.take("userxattr");
  const context = given.take("context");
  const squashToRoot = given.isSet("squash_to_root");
  const squashUid = given.number("squash_to_uid", MAX_ID);
  const squashGid = given.number("squash_to_gid", MAX_ID);
  const xattrPermissions = xattrPermissionsOf(given);
  const parsed: Omit<FuseOptions, "ignored"> = {
    ...directories,
    transport: transportOf(given.take("transport")),
    userxattr: userxattr === undefined ? null : isOn(userxattr),
    aufs: given.take("aufs") !== "off",
    redirectDir: redirect === "on",
    followRedirect: redirect !== "nofollow",
    volatile: given.isSet("volatile"),
    writeback: given.take("writeback") !== "0",
    passthrough: given.take("passthrough") !== "off",
    xattrPermissions,
    findOverrides: given.take("override_stat") !== "off",
    posixAcl: !given.isSet("noacl"),
    staticNlink: given.isSet("static_nlink"),
    timeoutSeconds: given.number("timeout", MAX_TIMEOUT_SECONDS) ?? MAX_TIMEOUT_SECONDS,
    uidMapping: parseMapping("uidmapping", given.take("uidmapping")),
    gidMapping: parseMapping("gidmapping", given.take("gidmapping")),
    squashUid: squashToRoot ? 0 : squashUid,
    squashGid: squashToRoot ? 0 : squashGid,
    noXattrs: given.isSet("noxattrs"),
    allowOther: given.isSet("allow_other"),
    debug: given.isSet("debug"),
    mountFlags: given.mountFlags,
    context: context ? context.replace(/^"(.*)"$/, "$1") : null,
    source: unescaped(given.take("fsname") || "layerctl"),
  };
  return { ...parsed, ignored: given.rest };
}

/**
 * An upperdir without a workdir is read-only, and the topmost layer; with `ro` too, so that it may be mounted elsewhere:
 * containerd looks so at what a running container has changed.
 */
function directoriesOf(given: Given): Pick<FuseOptions, "lowerdirs" | "upperdir" | "workdir" | "readOnly"> {
  const lowerdir = given.take("lowerdir");
  if (!lowerdir) throw wrong("lowerdir", "it is missing: name the layers, the topmost first");
  const upperdir = given.take("upperdir");
  const workdir = given.take("workdir");
  const isReadOnly = given.isSet("ro");
  if (upperdir && !workdir && !isReadOnly) throw wrong("workdir", "an upperdir needs one, on the same file system");
  const lowerdirs = splitEscaped(lowerdir, ":").map(pathOf);
  const top = upperdir ? pathOf(unescaped(upperdir)) : null;
  const isWritten = !isReadOnly && top !== null;
  return {
    lowerdirs: top !== null && !isWritten ? [top, ...lowerdirs] : lowerdirs,
    upperdir: isWritten ? top : null,
    workdir: isWritten && workdir ? pathOf(unescaped(workdir)) : null,
    readOnly: isReadOnly || !upperdir,
  };
}

function xattrPermissionsOf(given: Given): FuseOptions["xattrPermissions"] {
  const value = given.take("xattr_permissions") ?? "0";
  if (value === "0") return 0;
  if (value === "1") return 1;
  if (value === "2") return 2;
  throw wrong(`xattr_permissions=${value}`, "it is none of 0, 1 and 2");
}

function transportOf(name: string | null | undefined): Transport {
  if (name === undefined) return "device";
  const known = TRANSPORTS.find((each) => each === name);
  if (known === undefined) throw wrong(`transport=${name ?? ""}`, `there are ${TRANSPORTS.join(" and ")}`);
  return known;
}

function isOn(value: string | null | undefined): boolean {
  return value === null || value === "" || value === "1" || value === "on" || value === "yes" || value === "true";
}

function pathOf(text: string): HostPath {
  if (text === "") throw wrong("lowerdir", "an empty path is among the directories");
  return text as HostPath;
}

function numberOf(name: string, text: string, most: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0 || value > most)
    throw wrong(`${name}=${text}`, `it is not a number from 0 to ${most}`);
  return value;
}

/** `C:H:N[:C:H:N…]`, with or without a leading colon: ids on disk, ids as shown, how many. */
function parseMapping(name: string, text: string | null | undefined): readonly IdRange[] {
  if (!text) return [];
  const numbers = text.replace(/^:/, "").split(":");
  if (numbers.length % 3 !== 0) throw wrong(`${name}=${text}`, "it is not groups of three numbers");
  const ranges: IdRange[] = [];
  for (let at = 0; at < numbers.length; at += 3) {
    const [onDisk = 0, shown = 0, count = 0] = numbers
      .slice(at, at + 3)
      .map((each) => numberOf(name, each, 0xffff_ffff));
    ranges.push({ onDisk, shown, count });
  }
  return ranges;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, "$1");
}

/**
 * Splits at `separator` where no backslash is before it, and takes the backslashes away. Between commas a value may be in
 * double quotes (`context="a,b"`), which stay.
 */
function splitEscaped(text: string, separator: string): readonly string[] {
  const parts: string[] = [];
  let part = "";
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? "";
    if (character === "\\" && at + 1 < text.length) {
      at += 1;
      const next = text[at] ?? "";
      part += separator === "," && next !== "," ? `\\${next}` : next; // what is not ours is for the next split
    } else if (character === '"' && separator === "," && (isQuoted || part.endsWith("="))) {
      isQuoted = !isQuoted;
      part += character;
    } else if (character === separator && !isQuoted) {
      parts.push(part);
      part = "";
    } else {
      part += character;
    }
  }
  return [...parts, part];
}

function wrong(option: string, why: string): UsageError {
  return new UsageError("ERR_MOUNT_OPTION", `Cannot use mount option "${option}": ${why}`, { data: { option } });
}
