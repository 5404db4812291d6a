/**
 * What each kind of request does: the request's fields in, a call of the union, the reply's fields out. A handler fails
 * by throwing; the adapter in `session.ts` turns that into an errno.
 */

import { PosixError } from "../../src/errors.ts";
import { readlinkAt, S_IFDIR, S_IFMT, S_IFREG } from "../../src/sys/file.ts";
import { STATISTICS_XATTR } from "../../src/sys/fuse-device.ts";
import type { Stat } from "../../src/sys/stat.ts";
import { birthTimeAt } from "../../src/sys/stat.ts";
import { fileSystemUse } from "../../src/sys/statfs.ts";
import type { TimeChange } from "../../src/sys/times.ts";
import { FATTR, OP, ROOT_ID, SETXATTR_ACL_KILL_SGID } from "../protocol/constants.ts";
import { decodeDevice, type Reply, type Timeout } from "../protocol/reply.ts";
import type { Request } from "../protocol/request.ts";
import { attributesOf } from "../union/attributes.ts";
import { create, createUnnamed, link } from "../union/create.ts";
import { ERRNO } from "../union/errno.ts";
import { type Found, lookup } from "../union/lookup.ts";
import type { Node } from "../union/node.ts";
import { readDirectory, readDirectoryPlus } from "../union/readdir.ts";
import { rmdir, unlink } from "../union/remove.ts";
import { rename } from "../union/rename.ts";
import { type Change, setAttributes } from "../union/set-attributes.ts";
import type { Union } from "../union/union.ts";
import { getAttribute, listAttributes, removeAttribute, setAttribute } from "../union/xattrs.ts";
import { type Counters, STATISTICS_BYTES } from "./counters.ts";
import * as data from "./data-operations.ts";
import type { Files } from "./files.ts";

/** What a handler works with. */
export interface Session {
  readonly union: Union;
  readonly files: Files;
  readonly counters: Counters;
  /** How long the kernel may remember names and attributes. */
  readonly valid: Timeout;
  /** Nodes that this reply gives the kernel a reference to. */
  readonly given: Node[];
}

export type Handler = (session: Session, request: Request, reply: Reply) => void;

function found({ union, valid, given }: Session, reply: Reply, { node, stat }: Found): void {
  reply.entryOut(node.id, attributesOf(union, node, stat), valid);
  node.lookups += 1;
  given.push(node);
}

const doLookup: Handler = (session, request, reply) => {
  const { union, valid } = session;
  const parent = union.node(request.nodeId);
  parent.isScanned = true;
  const child = lookup(union, parent, request.entry(0));
  if (child === null) reply.noEntry(valid);
  else found(session, reply, child);
};

const getattr: Handler = ({ union, valid }, request, reply) => {
  const node = union.node(request.nodeId);
  reply.attrOut(attributesOf(union, node, union.statOf(node)), valid);
};

/** Asked for the time of birth alone: everything else the kernel gets by GETATTR. */
const doStatx: Handler = ({ union, valid }, request, reply) => {
  const node = union.node(request.nodeId);
  const { fd, path } = union.placeOf(node);
  const birth = birthTimeAt(fd, path);
  reply.statxOut(attributesOf(union, node, union.statOf(node)), birth, valid);
};

/** True for the time that the page cache tells of a file, because a name of it was removed, say: no reason for a copy. */
function hasTime({ mtimeSeconds, mtimeRest }: Stat, time: TimeChange | undefined): boolean {
  return typeof time === "object" && time.seconds === mtimeSeconds && time.rest === mtimeRest;
}

/** `struct fuse_setattr_in`. */
const setattr: Handler = ({ union, files, valid }, request, reply) => {
  const mask = request.u32(0);
  const node = union.node(request.nodeId);
  const time = (set: number, now: number, seconds: number, rest: number): TimeChange | undefined => {
    if ((mask & set) === 0) return undefined;
    return (mask & now) !== 0 ? "now" : { seconds: request.i64(seconds), rest: request.u32(rest) };
  };
  const mtime = time(FATTR.mtime, FATTR.mtimeNow, 40, 60);
  const change: Change = {
    mode: (mask & FATTR.mode) === 0 ? undefined : request.u32(68),
    uid: (mask & FATTR.uid) === 0 ? undefined : request.u32(76),
    gid: (mask & FATTR.gid) === 0 ? undefined : request.u32(80),
    sizeBytes: (mask & FATTR.size) === 0 ? undefined : request.u64(16),
    atime: time(FATTR.atime, FATTR.atimeNow, 32, 56),
    mtime,
    killSuidgid: (mask & FATTR.killSuidgid) !== 0,
  };
  const isToldOnly =
    (mask & ~FATTR.fh) === (FATTR.mtime | FATTR.ctime) && !node.upper && hasTime(union.statOf(node), mtime);
  const stat = isToldOnly ? union.statOf(node) : setAttributes(union, node, change);
  if (mtime !== undefined) files.toldTime(node, mtime);
  reply.attrOut(attributesOf(union, node, stat), valid);
};

const readlink: Handler = ({ union }, request, reply) => {
  const { fd, path } = union.placeOf(union.node(request.nodeId));
  reply.text(readlinkAt(fd, path ?? ""));
};

const symlink: Handler = (session, request, reply) => {
  const name = request.entry(0);
  const target = request.name(name.length + 1);
  const { union } = session;
  const made = create(union, request, union.node(request.nodeId), name, { mode: 0o120777, umask: 0, target });
  found(session, reply, made);
};

/** `struct fuse_mknod_in`. */
const mknod: Handler = (session, request, reply) => {
  const { union, files } = session;
  const wanted = { mode: request.u32(0), umask: request.u32(8), rdev: decodeDevice(request.u32(4)) };
  const type = wanted.mode & S_IFMT || S_IFREG;
  const made = create(union, request, union.node(request.nodeId), request.entry(16), {
    ...wanted,
    mode: (wanted.mode & 0o7777) | type,
  });
  files.madeClosed(made.node);
  found(session, reply, made);
};

/** `struct fuse_mkdir_in`. */
const mkdir: Handler = (session, request, reply) => {
  const { union } = session;
  const mode = (request.u32(0) & 0o7777) | S_IFDIR;
  const wanted = { mode, umask: request.u32(4) };
  found(session, reply, create(union, request, union.node(request.nodeId), request.entry(8), wanted));
};

const doUnlink: Handler = ({ union }, request) => unlink(union, union.node(request.nodeId), request.entry(0));
const doRmdir: Handler = ({ union }, request) => rmdir(union, union.node(request.nodeId), request.entry(0));

/** `struct fuse_rename_in`, `struct fuse_rename2_in`: two names after it. */
function renameWith(names: number, flagsAt: number | null): Handler {
  return ({ union }, request) => {
    const name = request.entry(names);
    const newName = request.entry(names + name.length + 1);
    const flags = flagsAt === null ? 0 : request.u32(flagsAt);
    rename(union, union.node(request.nodeId), name, union.node(request.u64(0)), newName, flags);
  };
}

const doLink: Handler = (session, request, reply) => {
  const { union } = session;
  const node = union.node(request.u64(0));
  found(session, reply, link(union, node, union.node(request.nodeId), request.entry(8)));
};

/** `struct fuse_create_in`. */
const doCreate: Handler = (session, request, reply) => {
  const { union, files } = session;
  const wanted = { mode: (request.u32(4) & 0o7777) | S_IFREG, umask: request.u32(8) };
  const made = create(union, request, union.node(request.nodeId), request.entry(16), wanted);
  found(session, reply, made);
  files.replyOpen(reply, files.openNew(made.node, request.u32(0)));
};

const tmpfile: Handler = (session, request, reply) => {
  const { union, files } = session;
  const wanted = { mode: (request.u32(4) & 0o7777) | S_IFREG, umask: request.u32(8) };
  const made = createUnnamed(union, request, union.node(request.nodeId), wanted);
  found(session, reply, made);
  files.replyOpen(reply, files.openNew(made.node, request.u32(0)));
};

/** `struct fuse_setxattr_in`. */
const setxattr: Handler = ({ union }, request) => {
  const [size, flags, extra] = [request.u32(0), request.u32(4), request.u32(8)];
  const name = request.name(16);
  const value = request.bytes(16 + name.length + 1, size);
  const killSgid = (extra & SETXATTR_ACL_KILL_SGID) !== 0;
  setAttribute(union, union.node(request.nodeId), name, value, flags, killSgid);
};

/** A value of any size; with room for none, its size (getxattr(2)). */
function answerSized(reply: Reply, room: number, bytes: Uint8Array): void {
  if (room === 0) {
    reply.u32(bytes.length);
    reply.u32(0);
    return;
  }
  if (bytes.length > room) throw new PosixError(ERRNO.ERANGE, "getxattr");
  reply.bytes(bytes);
}

const getxattr: Handler = ({ union, counters }, request, reply) => {
  const name = request.name(8);
  const isAboutUs = request.nodeId === ROOT_ID && name === STATISTICS_XATTR;
  const value = isAboutUs
    ? Buffer.from(JSON.stringify(counters.snapshot()).padEnd(STATISTICS_BYTES)) // asked for its size first, it must not grow
    : getAttribute(union, union.node(request.nodeId), name);
  if (value === null) reply.fail(ERRNO.ENODATA);
  else answerSized(reply, request.u32(0), value);
};

const listxattr: Handler = ({ union }, request, reply) => {
  const names = listAttributes(union, union.node(request.nodeId), request.uid);
  answerSized(reply, request.u32(0), Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1"));
};

const removexattr: Handler = ({ union }, request) => {
  removeAttribute(union, union.node(request.nodeId), request.name(0));
};

/** `struct fuse_read_in`. */
const readdir: Handler = ({ union }, request, reply) => {
  readDirectory(union, union.node(request.nodeId), request.u64(8), request.u32(16), reply);
};

const readdirplus: Handler = ({ union, valid, given }, request, reply) => {
  readDirectoryPlus(union, union.node(request.nodeId), request.u64(8), request.u32(16), reply, valid, given);
};

/** `struct fuse_kstatfs`. */
const statfs: Handler = ({ union }, _request, reply) => {
  const layer = union.upper?.layer ?? union.lowers[0];
  if (layer === undefined) throw new PosixError(ERRNO.EIO, "statfs");
  const use = fileSystemUse(layer.fd);
  for (const count of [use.blocks, use.blocksFree, use.blocksAvailable, use.files, use.filesFree]) reply.u64Big(count);
  for (const word of [use.blockBytes, use.nameBytes, use.fragmentBytes]) reply.u32(Number(word));
  for (let spare = 0; spare < 7; spare++) reply.u32(0);
};

/** Nothing to do, or nothing that the kernel need ask us for again. */
const unknown: Handler = () => {
  throw new PosixError(ERRNO.ENOSYS, "fuse");
};

/** By opcode. What is not here is answered with ENOSYS: the kernel then does it itself, or tells the program. */
export const HANDLERS: Readonly<Record<number, Handler>> = {
  [OP.lookup]: doLookup,
  [OP.getattr]: getattr,
  [OP.setattr]: setattr,
  [OP.readlink]: readlink,
  [OP.symlink]: symlink,
  [OP.mknod]: mknod,
  [OP.mkdir]: mkdir,
  [OP.unlink]: doUnlink,
  [OP.rmdir]: doRmdir,
  [OP.rename]: renameWith(8, null),
  [OP.rename2]: renameWith(16, 8),
  [OP.link]: doLink,
  [OP.open]: data.open,
  [OP.read]: data.read,
  [OP.write]: data.write,
  [OP.statfs]: statfs,
  [OP.release]: data.release,
  [OP.fsync]: data.fsync,
  [OP.setxattr]: setxattr,
  [OP.getxattr]: getxattr,
  [OP.listxattr]: listxattr,
  [OP.removexattr]: removexattr,
  [OP.opendir]: unknown, // then the kernel caches listings, and never opens a directory
  [OP.readdir]: readdir,
  [OP.readdirplus]: readdirplus,
  [OP.fsyncdir]: data.fsyncDirectory,
  [OP.create]: doCreate,
  [OP.ioctl]: data.ioctl,
  [OP.fallocate]: data.fallocate,
  [OP.lseek]: data.lseek,
  [OP.copyFileRange]: data.copyFileRange,
  [OP.tmpfile]: tmpfile,
  [OP.statx]: doStatx,
};
