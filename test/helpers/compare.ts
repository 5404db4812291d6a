/**
 * Lists a directory tree into records that can be compared: everything a layer carries of a file. Extended attributes
 * come from one pass of getfattr(1), the rest from lstat(2) and readlink(2). Paths are latin-1 byte strings.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";

export interface TreeRecord {
  readonly type: "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";
  /** Permission, setuid, setgid and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  /** 0 for what is neither a file nor a symlink. */
  readonly sizeBytes: number;
  /** "major,minor" of a device, "" otherwise. */
  readonly device: string;
  readonly linkTarget: string;
  /** The sha256 of a regular file's content. */
  readonly content: string;
  /** How many paths of this tree are the same file; 1 for directories. */
  readonly links: number;
  /** The first of those paths. */
  readonly firstLink: string;
  /** Values as "0x" and hex digits, by name. */
  readonly xattrs: ReadonlyMap<string, string>;
}

export interface ListOptions {
  /** Names of extended attributes that are not compared, as a pattern. */
  readonly ignoreXattrs?: RegExp;
  /** Without it, contents are not read. */
  readonly contents?: boolean;
}

/** The records of everything below `root`, and of `root` itself under ".", sorted by the bytes of the paths. */
export function listTree(root: string, options: ListOptions = {}): ReadonlyMap<string, TreeRecord> {
  const xattrs = xattrsBelow(root);
  const stats: [path: string, stat: BigIntStats][] = [];
  walk(Buffer.from(root), ".", stats);
  stats.sort(([a], [b]) => (a < b ? -1 : 1));
  const groups = new Map<string, string[]>();
  const inodeOf = (path: string, stat: BigIntStats): string => (stat.isDirectory() ? path : `${stat.dev}:${stat.ino}`);
  for (const [path, stat] of stats) {
    const group = groups.get(inodeOf(path, stat));
    if (group === undefined) groups.set(inodeOf(path, stat), [path]);
    else group.push(path);
  }
  return new Map(
    stats.map(([path, stat]) => {
      const group = groups.get(inodeOf(path, stat)) ?? [path];
      const kept = [...(xattrs.get(path) ?? [])].filter(([name]) => !options.ignoreXattrs?.test(name));
      return [path, recordOf(below(root, path), stat, group, new Map(kept.sort()), options.contents ?? true)];
    }),
  );
}

function walk(directory: Buffer, path: string, into: [string, BigIntStats][]): void {
  into.push([path, lstatSync(directory, { bigint: true })]);
  for (const entry of readdirSync(directory, { encoding: "buffer", withFileTypes: true })) {
    const full = Buffer.concat([directory, Buffer.from("/"), entry.name]);
    const child = path === "." ? entry.name.toString("latin1") : `${path}/${entry.name.toString("latin1")}`;
    if (entry.isDirectory()) walk(full, child, into);
    else into.push([child, lstatSync(full, { bigint: true })]);
  }
}

function below(root: string, path: string): Buffer {
  return path === "." ? Buffer.from(root) : Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, "latin1")]);
}

function recordOf(
  full: Buffer,
  stat: BigIntStats,
  group: readonly string[],
  xattrs: ReadonlyMap<string, string>,
  contents: boolean,
): TreeRecord {
  const type = typeOf(stat);
  const isDevice = type === "character" || type === "block";
  return {
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    sizeBytes: type === "file" || type === "symlink" ? Number(stat.size) : 0,
    device: isDevice ? deviceNumbers(stat.rdev) : "",
    linkTarget: type === "symlink" ? readlinkSync(full, { encoding: "buffer" }).toString("latin1") : "",
    content: type === "file" && contents ? contentDigest(full) : "",
    links: group.length,
    firstLink: group[0] ?? "",
    xattrs,
  };
}

function typeOf(stat: BigIntStats): TreeRecord["type"] {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isCharacterDevice()) return "character";
  if (stat.isBlockDevice()) return "block";
  return stat.isFIFO() ? "fifo" : "socket";
}

/** makedev(3) the other way round. */
function deviceNumbers(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return `${major},${minor}`;
}

const buffer = Buffer.allocUnsafe(1 << 20);

function contentDigest(full: Buffer): string {
  const hash = createHash("sha256");
  const fd = openSync(full, "r");
  try {
    for (let got = readSync(fd, buffer); got > 0; got = readSync(fd, buffer)) hash.update(buffer.subarray(0, got));
  } finally {
    closeSync(fd);
  }
  return hash.digest("hex").slice(0, 16);
}

/** What getfattr(1) says of everything below `root`: by path, names to values in hex. */
function xattrsBelow(root: string): Map<string, Map<string, string>> {
  const args = ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "--", "."];
  const { stdout, status, stderr } = spawnSync("getfattr", args, { cwd: root, maxBuffer: 1024 ** 3 });
  if (status !== 0) throw new Error(`getfattr below ${root}: ${stderr}`);
  const result = new Map<string, Map<string, string>>();
  let current = new Map<string, string>();
  for (const line of stdout.toString("latin1").split("\n")) {
    if (line.startsWith("# file: ")) {
      current = new Map();
      result.set(unescapeOctal(line.slice("# file: ".length)).replace(/^\.\//, ""), current);
    } else if (line !== "") {
      const equals = line.indexOf("=");
      if (equals < 0) current.set(unescapeOctal(line), "0x");
      else current.set(unescapeOctal(line.slice(0, equals)), line.slice(equals + 1));
    }
  }
  return result;
}

/** Takes back the `\012` that getfattr and findmnt write for bytes that would confuse. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** A record as one line, for messages and for comparing. */
export function describeRecord(record: TreeRecord): string {
  const xattrs = [...record.xattrs].map(([name, value]) => ` ${name}=${value}`).join("");
  const what = record.type === "symlink" ? `-> ${record.linkTarget}` : `${record.device}${record.content}`;
  const links = record.links === 1 ? "" : ` ${record.links} links from ${record.firstLink}`;
  const owner = `${record.uid}:${record.gid}`;
  const mode = record.mode.toString(8).padStart(4, "0");
  return `${record.type} ${mode} ${owner} ${record.sizeBytes} ${record.mtimeNs} ${what}${links}${xattrs}`;
}

/**
 * A listing as containers/storage shows it, made comparable: it gives the root, and each directory that a layer implies but
 * does not list, a mode and a time of its own. `since` is when it began.
 */
export function withoutStamps(
  theirs: ReadonlyMap<string, TreeRecord>,
  ours: ReadonlyMap<string, TreeRecord>,
  sinceMs: number,
): ReadonlyMap<string, TreeRecord> {
  return new Map(
    [...theirs].map(([path, record]) => {
      const own = ours.get(path);
      if (own === undefined || record.type !== "directory") return [path, record];
      if (path === ".") return [path, own];
      const stamped = record.mtimeNs > BigInt(sinceMs) * 1_000_000n;
      return [path, stamped ? { ...record, mtimeNs: own.mtimeNs } : record];
    }),
  );
}

/** What differs between two listings, one line a path: empty if they are equal. */
export function differences(
  actual: ReadonlyMap<string, TreeRecord>,
  expected: ReadonlyMap<string, TreeRecord>,
): readonly string[] {
  const found: string[] = [];
  for (const path of [...new Set([...actual.keys(), ...expected.keys()])].sort()) {
    const [left, right] = [actual.get(path), expected.get(path)].map((record) =>
      record === undefined ? "absent" : describeRecord(record),
    );
    if (left !== right) found.push(`${path}: ${left}, expected ${right}`);
  }
  return found;
}

/** Everything that a write to a tree could change, change times and inode numbers too: for proving that nothing did. */
export function fingerprint(root: string): readonly string[] {
  const stats: [path: string, stat: BigIntStats][] = [];
  walk(Buffer.from(root), ".", stats);
  const listed = listTree(root);
  return stats
    .map(([path, stat]) => {
      const record = listed.get(path);
      const what = record === undefined ? "" : describeRecord(record);
      return `${path}: ${what} inode ${stat.ino} nlink ${stat.nlink} ctime ${stat.ctimeNs}`;
    })
    .sort();
}
