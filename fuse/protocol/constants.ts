/** The numbers of the FUSE protocol (include/uapi/linux/fuse.h, 7.45). */

/** The root's node id. */
export const ROOT_ID = 1;

/** The protocol that is spoken; the kernel and we use the older of the two. */
export const MAJOR = 7;
export const MINOR = 45;
/** Linux 5.4: the oldest that is answered. */
export const OLDEST_MINOR = 31;

/** What a request asks for. */
export const OP = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  access: 34,
  create: 35,
  interrupt: 36,
  destroy: 38,
  ioctl: 39,
  poll: 40,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  syncfs: 50,
  tmpfile: 51,
  statx: 52,
  copyFileRange64: 53,
} as const;

/** The number above every opcode. */
export const OP_COUNT = 64;

/** What is negotiated by INIT: bits of `flags`, and of `flags2` (bits 32 and up) as separate numbers. */
export const INIT = {
  asyncRead: 1 << 0,
  atomicTruncate: 1 << 3,
  bigWrites: 1 << 5,
  dontMask: 1 << 6,
  readdirplus: 1 << 13,
  asyncDirectIo: 1 << 15,
  writebackCache: 1 << 16,
  noOpen: 1 << 17,
  parallelDirOps: 1 << 18,
  posixAcl: 1 << 20,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendir: 1 << 24,
  explicitInvalidate: 1 << 25,
  killprivV2: 1 << 28,
  setxattrExt: 1 << 29,
  initExt: 1 << 30,
} as const;
export const INIT2 = {
  createSuppGroup: 1 << 2,
  directIoMmap: 1 << 4,
  passthrough: 1 << 5,
  allowIdmap: 1 << 8,
} as const;

/** What the reply to an open tells the kernel. */
export const FOPEN = { directIo: 1, keepCache: 2, cacheDir: 8, noflush: 32, passthrough: 128 } as const;

/** Which fields of a SETATTR count. */
export const FATTR = {
  mode: 1,
  uid: 2,
  gid: 4,
  size: 8,
  atime: 16,
  mtime: 32,
  fh: 64,
  atimeNow: 128,
  mtimeNow: 256,
  ctime: 1024,
  killSuidgid: 2048,
} as const;

/** The setuid and setgid bits and file capabilities are to go with this write, or this open. */
export const WRITE_KILL_SUIDGID = 4;
/** The page cache writes: it keeps size and times itself. */
export const WRITE_CACHE = 1;
export const OPEN_KILL_SUIDGID = 1;
/** The ACL that is set takes the setgid bit away. */
export const SETXATTR_ACL_KILL_SGID = 1;
