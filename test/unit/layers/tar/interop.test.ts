/** The codec against other programs: what they write we read, what we write they restore. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, lstatSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from "node:fs";
import { test } from "node:test";
import { extract } from "tar-stream";
import type { TarEntry } from "../../../../layers/tar/entry.ts";
import { bytesOf, type HostPath, hostPath } from "../../../../src/paths.ts";
import { getXattr, setXattr } from "../../../../src/sys/xattr.ts";
import { requires } from "../../../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";
import { entryOf, type ReadMember, readTar, writeTar } from "./tar-builder.ts";

const LONG = `${"deep/".repeat(25)}${"n".repeat(120)}`;
const RUN = { stdio: ["ignore", "pipe", "pipe"] as ["ignore", "pipe", "pipe"] };
/** user::rw-,user:1234:rw-,group::r--,mask::rw-,other::r-- */
const ACL = Buffer.from(
  "0200000001000600ffffffff02000600d204000004000400ffffffff10000600ffffffff20000400ffffffff",
  "hex",
);
const DEFAULT_ACL = Buffer.from(ACL);
const BINARY_VALUE = Buffer.from([0, 10, 61, 255, 0, 10]);
/** VFS_CAP_REVISION_2 with cap_net_raw. */
const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex");

/** Makes a tree with everything that a format can hold. */
function makeTree(root: string, options: { readonly names?: "short"; readonly xattrs?: boolean } = {}): void {
  const sh = (script: string) => execFileSync("sh", ["-ec", script], { ...RUN, cwd: root });
  sh(`mkdir d; printf hello >d/f; chown 1000:100 d/f; chmod 4755 d/f; ln d/f hard; ln -s d/f soft; mkfifo fifo
      mknod null c 1 3; mknod disk b 8 17; touch -d '@1700000000.123456789' d/f; touch -hd '@1.5' soft; touch -d @-5 d`);
  makeSparse(`${root}/sparse`);
  if (options.names !== "short") {
    sh(`mkdir -p ${LONG.slice(0, LONG.lastIndexOf("/"))}; echo long >${LONG}; ln -s ${LONG} longlink
        name=$(printf 'caf\\303\\251'); echo utf8 >"$name"; name=$(printf 'byte\\377'); echo byte >"$name"`);
  }
  if (options.xattrs) {
    setXattr(hostPath(`${root}/d/f`), "system.posix_acl_access", ACL);
    setXattr(hostPath(`${root}/d/f`), "security.capability", CAPABILITY);
    setXattr(hostPath(`${root}/d/f`), "user.binary", BINARY_VALUE);
    setXattr(hostPath(`${root}/d/f`), "user.a=b%", Buffer.from("1"));
    setXattr(hostPath(`${root}/d/f`), "user.empty", Buffer.alloc(0));
    setXattr(hostPath(`${root}/d`), "system.posix_acl_default", DEFAULT_ACL);
  }
}

/** Two extents with holes before, between and after them. */
function makeSparse(path: string): void {
  const fd = openSync(path, "w");
  ftruncateSync(fd, 2_000_000);
  writeSync(fd, Buffer.alloc(4096, "a"), 0, 4096, 65_536);
  writeSync(fd, Buffer.alloc(5000, "b"), 0, 5000, 1_048_576);
  closeSync(fd);
}

/** Compares what was read with the tree on disk, by lstat and content. */
function assertMatches(
  members: readonly ReadMember[],
  root: string,
  options: { seconds?: boolean; xattrs?: boolean } = {},
): void {
  const known = new Set(
    execFileSync("find", [root, "-mindepth", "1", "-printf", "%P\\0"], RUN).toString("latin1").split("\0"),
  );
  known.delete("");
  for (const { entry, data, runs } of members) {
    const path = entry.path.replace(/^\.\//, "").replace(/\/$/, "");
    if (path === "") continue;
    assert.ok(known.delete(path), `${path} is not on disk, or was read twice`);
    const host = `${Buffer.from(root).toString("latin1")}/${path}` as HostPath;
    const stat = lstatSync(bytesOf(host), { bigint: true });
    const what = { mode: Number(stat.mode) & 0o7777, uid: Number(stat.uid), gid: Number(stat.gid) };
    if (entry.type !== "symlink") assert.deepEqual({ mode: entry.mode, uid: entry.uid, gid: entry.gid }, what, path);
    const onDisk = options.seconds ? floorSeconds(stat.mtimeNs) : stat.mtimeNs;
    if (entry.type !== "hardlink") assert.equal(entry.mtimeNs, onDisk, path);
    if (entry.type === "file") {
      const restored = Buffer.alloc(entry.sizeBytes);
      let at = 0;
      for (const run of runs) at += data.copy(restored, run.offset, at, at + run.lengthBytes);
      assert.deepEqual(restored, readFileSync(bytesOf(host)), path);
    }
    if (options.xattrs && entry.type !== "hardlink") {
      for (const [name, value] of entry.xattrs)
        assert.deepEqual(getXattr(host, name), Buffer.from(value), `${path} ${name}`);
    }
  }
  assert.deepEqual([...known], [], "on disk and not in the archive");
}

function floorSeconds(timeNs: bigint): bigint {
  const rest = ((timeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return timeNs - rest;
}

const find = (members: readonly ReadMember[], path: string) =>
  members.find(({ entry }) => entry.path.replace(/^\.\//, "") === path) ?? assert.fail(`no entry ${path}`);

const GNU = requires("root", "program:tar");
const BSD = requires("root", "program:bsdtar");

/** Format flags of GNU tar, and what the format cannot hold. */
const GNU_FORMATS = [
  { flags: ["--format=v7", "--exclude=fifo", "--exclude=null", "--exclude=disk"], short: true },
  { flags: ["--format=ustar"], short: true },
  { flags: ["--format=oldgnu"] },
  { flags: ["--format=gnu"] },
  { flags: ["--format=gnu", "--sparse"], sparse: true },
  { flags: ["--format=pax"], exact: true },
  { flags: ["--format=pax", "--sparse", "--sparse-version=0.0"], exact: true, sparse: true },
  { flags: ["--format=pax", "--sparse", "--sparse-version=0.1"], exact: true, sparse: true },
  { flags: ["--format=pax", "--sparse", "--sparse-version=1.0"], exact: true, sparse: true },
  { flags: ["--format=pax", "--xattrs", "--xattrs-include=*", "--acls"], exact: true, xattrs: true },
] as const;

for (const format of GNU_FORMATS) {
  test(`what GNU tar writes with ${format.flags.join(" ")} is read`, { skip: GNU }, async () => {
    await using directory = temporaryDirectory();
    const root = `${directory.path}/tree`;
    mkdirSync(root);
    const short = "short" in format;
    makeTree(root, { ...(short ? { names: "short" } : {}), xattrs: "xattrs" in format });
    if (short) execFileSync("touch", ["-d", "@5", `${root}/d`]); // before 1970 takes base-256 or PAX
    const exclude = format.flags.filter((flag) => flag.startsWith("--exclude=")).map((flag) => flag.slice(10));
    const archive = `${directory.path}/archive.tar`;
    execFileSync("tar", [...format.flags, "-C", root, "-cf", archive, "."], RUN);
    for (const name of exclude) execFileSync("rm", [`${root}/${name}`]);
    const bytes = readFileSync(archive);
    const members = readTar(bytes);
    assertMatches(members, root, { seconds: !("exact" in format), xattrs: true });
    assert.deepEqual(
      readTar(bytes, 777).map(({ entry }) => entry),
      members.map(({ entry }) => entry),
    );
    assert.deepEqual(find(members, "sparse").entry.extents !== null, "sparse" in format);
    if (exclude.length === 0) {
      const { type, deviceMajor, deviceMinor } = find(members, "disk").entry;
      assert.deepEqual([type, deviceMajor, deviceMinor], ["block", 8, 17]);
    }
    if ("xattrs" in format) assertXattrs(members);
  });
}

function assertXattrs(members: readonly ReadMember[]): void {
  const file = members.find(({ entry }) => entry.type === "file" && /(^|\/)(f|hard)$/.test(entry.path));
  const names = [...(file?.entry.xattrs.keys() ?? [])].sort();
  const user = ["user.a=b%", "user.binary", "user.empty"];
  assert.deepEqual(names, ["security.capability", "system.posix_acl_access", ...user]);
  assert.ok(find(members, "d/").entry.xattrs.has("system.posix_acl_default"));
}

for (const format of ["ustar", "pax", "gnutar", "v7"] as const) {
  test(`what bsdtar writes with --format=${format} is read`, { skip: BSD }, async () => {
    await using directory = temporaryDirectory();
    const root = `${directory.path}/tree`;
    mkdirSync(root);
    const exact = format === "pax";
    makeTree(root, { ...(exact || format === "gnutar" ? {} : { names: "short" }), xattrs: exact });
    execFileSync("rm", ["-r", `${root}/fifo`, `${root}/null`, `${root}/disk`]);
    if (!exact) execFileSync("touch", ["-d", "@5", `${root}/d`]);
    const archive = `${directory.path}/archive.tar`;
    const flags = exact ? ["--xattrs", "--acls"] : ["--no-xattrs", "--no-acls"];
    execFileSync("bsdtar", [`--format=${format}`, ...flags, "-C", root, "-cf", archive, "."], RUN);
    const members = readTar(readFileSync(archive));
    if (!exact) return assertMatches(members, root, { seconds: true });
    // The header's mode has the bits of the group, on disk they are those of the ACL's mask.
    setMaskMode(members, "d/f", 0o4664);
    assertMatches(members, root, { xattrs: true });
    assertXattrs(members);
    assert.notEqual(find(members, "sparse").entry.extents, null);
  });
}

function setMaskMode(members: readonly ReadMember[], path: string, mode: number): void {
  for (const member of members) {
    if (new RegExp(`(^|/)(${path}|hard)$`).test(member.entry.path)) Object.assign(member.entry, { mode });
  }
}

/** A tree as our writer stores it. Sparse extents are whole blocks, as on disk. */
function ourArchive(): { bytes: Buffer; entries: TarEntry[] } {
  const xattrs = new Map<string, Uint8Array>([
    ["user.binary", BINARY_VALUE],
    ["user.a=b%", Buffer.from("1")],
    ["user.empty", Buffer.alloc(0)],
    ["security.capability", CAPABILITY],
    ["system.posix_acl_access", ACL],
  ]);
  const extents = [
    { offset: 65_536, lengthBytes: 4096 },
    { offset: 1_048_576, lengthBytes: 8192 },
  ];
  const mtimeNs = 1_700_000_000_123_456_789n;
  const members = [
    {
      entry: entryOf({
        path: "d",
        type: "directory",
        mode: 0o755,
        mtimeNs,
        xattrs: new Map([["system.posix_acl_default", ACL]]),
      }),
    },
    {
      entry: entryOf({ path: "d/f", mode: 0o4664, uid: 1000, gid: 100, mtimeNs, sizeBytes: 5, xattrs }),
      data: Buffer.from("hello"),
    },
    {
      entry: entryOf({ path: "hard", type: "hardlink", linkTarget: "d/f", mode: 0o4664, uid: 1000, gid: 100, mtimeNs }),
    },
    { entry: entryOf({ path: "soft", type: "symlink", linkTarget: "d/f", mode: 0o777, mtimeNs: -1_500_000_000n }) },
    { entry: entryOf({ path: "null", type: "character", deviceMajor: 1, deviceMinor: 3, mode: 0o666 }) },
    { entry: entryOf({ path: "fifo", type: "fifo", uid: 3_000_000, gid: 3_000_001 }) },
    { entry: entryOf({ path: LONG, mtimeNs: -5_000_000_000n, sizeBytes: 4 }), data: Buffer.from("long") },
    { entry: entryOf({ path: "longlink", type: "symlink", linkTarget: LONG, mode: 0o777 }) },
    { entry: entryOf({ path: "caf\xc3\xa9", sizeBytes: 600 }), data: Buffer.alloc(600, "u") },
    { entry: entryOf({ path: "byte\xff" }) },
    { entry: entryOf({ path: "sparse", sizeBytes: 2_000_000, extents }), data: Buffer.alloc(12_288, "s") },
    { entry: entryOf({ path: "holes\xff", sizeBytes: 1_000_000, extents: [] }) },
  ] as const;
  return { bytes: writeTar(members), entries: members.map(({ entry }) => entry) };
}

for (const [program, flags, skip] of [
  ["tar", ["--xattrs", "--xattrs-include=*", "--acls"], GNU],
  ["bsdtar", ["--xattrs", "--acls", "-p"], BSD],
] as const) {
  test(`what we write, ${program} restores`, { skip }, async () => {
    await using directory = temporaryDirectory();
    const root = `${directory.path}/out`;
    mkdirSync(root);
    const { bytes, entries } = ourArchive();
    const env = { ...process.env, LC_ALL: "C.UTF-8" };
    execFileSync(program, [...flags, "--numeric-owner", "-C", root, "-xf", "-"], {
      input: bytes,
      stdio: ["pipe", "pipe", "pipe"],
      env,
    });
    for (const entry of entries) assertRestored(entry, `${root}/` as HostPath, program);
    assert.equal(statSync(`${root}/hard`).ino, statSync(`${root}/d/f`).ino);
    assert.ok(statSync(`${root}/sparse`).blocks * 512 < 100_000, "the holes were filled");
    assertCopied(directory, `${root}/sparse`);
  });
}

function assertRestored(entry: TarEntry, root: HostPath, program: string): void {
  const host = (root + entry.path) as HostPath;
  const stat = lstatSync(bytesOf(host), { bigint: true });
  const types = {
    file: 0o100000n,
    hardlink: 0o100000n,
    symlink: 0o120000n,
    character: 0o020000n,
    block: 0o060000n,
    directory: 0o040000n,
    fifo: 0o010000n,
  };
  assert.equal(stat.mode, types[entry.type] | BigInt(entry.mode), entry.path);
  assert.deepEqual([stat.uid, stat.gid], [BigInt(entry.uid), BigInt(entry.gid)], entry.path);
  // libarchive 3.6 adds the fraction to the negative seconds instead of taking it away.
  const misread = program === "bsdtar" && entry.path === "soft" ? 1_000_000_000n : 0n;
  assert.equal(stat.mtimeNs, entry.mtimeNs + misread, entry.path);
  if (entry.type === "file") assert.equal(stat.size, BigInt(entry.sizeBytes), entry.path);
  for (const [name, value] of entry.xattrs) {
    // libarchive takes what GNU tar escapes for part of the name.
    const stored = program === "bsdtar" ? name.replace("=", "%3D").replace(/%$/, "%25") : name;
    assert.deepEqual(getXattr(host, stored), Buffer.from(value), `${entry.path} ${name}`);
  }
}

function assertCopied(directory: TemporaryDirectory, restored: string): void {
  const expected = Buffer.alloc(2_000_000);
  expected.fill("s", 65_536, 65_536 + 4096).fill("s", 1_048_576, 1_048_576 + 8192);
  assert.ok(readFileSync(restored).equals(expected), `${restored} in ${directory.path} differs`);
}

test("what we write, python reads", { skip: requires("program:python3") }, () => {
  const script = `
import sys, tarfile, io, json
t = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()), encoding="utf-8", errors="surrogateescape")
raw = lambda name: name.encode("utf-8", "surrogateescape").decode("latin-1")
print(json.dumps([[raw(m.name), m.type.decode(), raw(m.linkname), m.mode, m.uid, m.gid, m.size, m.sparse is not None] for m in t]))`;
  const { bytes, entries } = ourArchive();
  const output = execFileSync("python3", ["-c", script], { input: bytes, stdio: ["pipe", "pipe", "inherit"] });
  const flags = { file: "0", hardlink: "1", symlink: "2", character: "3", block: "4", directory: "5", fifo: "6" };
  const name = (entry: TarEntry) => entry.path.replace(/\/$/, "");
  assert.deepEqual(
    JSON.parse(output.toString()),
    entries.map((e) => [name(e), flags[e.type], e.linkTarget, e.mode, e.uid, e.gid, e.sizeBytes, e.extents !== null]),
  );
});

test("what we write, tar-stream reads, as far as it goes", async () => {
  const content = Buffer.alloc(70_000, "content ");
  const written = [
    { entry: entryOf({ path: "d/", type: "directory", mode: 0o755 }) },
    {
      entry: entryOf({ path: LONG, sizeBytes: content.length, mtimeNs: 5_000_000_000n, uid: 3_000_000 }),
      data: content,
    },
    { entry: entryOf({ path: "caf\xc3\xa9", type: "symlink", linkTarget: LONG }) },
  ];
  const parser = extract();
  parser.end(writeTar(written));
  const read: unknown[] = [];
  for await (const member of parser) {
    const hash = createHash("sha256");
    for await (const chunk of member) hash.update(chunk as Buffer);
    const { name, type, linkname, size } = member.header;
    read.push([name, type, linkname ?? "", size, hash.digest("hex").slice(0, 8)]);
  }
  const digest = (data: Buffer) => createHash("sha256").update(data).digest("hex").slice(0, 8);
  assert.deepEqual(
    read,
    written.map(({ entry, data = Buffer.alloc(0) }) => [
      Buffer.from(entry.path, "latin1").toString(),
      entry.type,
      entry.linkTarget,
      entry.sizeBytes,
      digest(data),
    ]),
  );
});
