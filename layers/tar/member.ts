/**
 * Folds a header, its PAX records and its GNU long names into one entry, and says which bytes of the archive follow.
 *
 * Where programs differ on what an archive means, a scanner could be shown one tree and a runtime another. So: where
 * docker's reader (Go's archive/tar) is one of several in common use its answer is taken, and where a header
 * contradicts itself it is refused.
 */

import { aclFromText, isModeAlone } from "./acl.ts";
import { type EntryType, type Extent, NO_XATTRS, type TarEntry } from "./entry.ts";
import { type Header, parseDevice } from "./header.ts";
import { refuse, type TarLimits, type TarPosition } from "./limits.ts";
import { type PaxFields, parseDecimal } from "./pax.ts";
import { addHeaderExtents, ExtentList, oldGnuRealSize } from "./sparse.ts";

/** The largest uid and gid: 2^32 - 1 means "unchanged" to chown(2). */
const MAX_ID = 0xfffffffe;
/** The kernel's dev_t: 12 bits and 20. */
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;

/** What extension headers said before a member's own header. */
export interface Extensions {
  readonly pax: PaxFields | null;
  readonly longName: string | null;
  readonly longLink: string | null;
}

/** The map of a sparse file, as far as the headers hold it. */
export interface SparseMember {
  readonly extents: ExtentList;
  readonly realSizeBytes: number;
  /** Where the rest of the map is: in blocks after the header, in front of the data, or nowhere. */
  readonly rest: "blocks" | "data" | "none";
}

export interface Member {
  /** For a sparse file, without its extents and with its archived size. */
  readonly entry: TarEntry;
  /** The bytes that follow the header, without padding. */
  readonly archivedBytes: number;
  readonly sparse: SparseMember | null;
}

/**
 * The member whose header `header` was parsed from `block` at `at`.
 * @throws {IntegrityError} every `TarErrorCode` but those of framing
 */
export function assembleMember(
  header: Header,
  block: Buffer,
  at: number,
  extensions: Extensions,
  limits: TarLimits,
  where: TarPosition,
): Member {
  const { pax } = extensions;
  const path = resolvePath(header, extensions, where);
  where.name = path;
  const headerBytes = pax?.sizeBytes ?? header.sizeBytes;
  const type = resolveType(header, path, headerBytes, where);
  const archivedBytes = type === "file" || header.typeflag === GNU_DUMPDIR ? headerBytes : 0;
  const device = type === "character" || type === "block" ? checkDevice(block, at, where) : NO_DEVICE;
  const entry: TarEntry = {
    path,
    type,
    linkTarget: type === "symlink" || type === "hardlink" ? resolveLink(header, extensions, where) : "",
    mode: header.mode,
    uid: checkId(pax?.uid ?? header.uid, "uid", where),
    gid: checkId(pax?.gid ?? header.gid, "gid", where),
    mtimeNs: pax?.mtimeNs ?? header.mtimeNs,
    sizeBytes: type === "file" ? headerBytes : 0,
    extents: null,
    deviceMajor: device.major,
    deviceMinor: device.minor,
    xattrs: pax === null ? NO_XATTRS : collectXattrs(pax, header.mode, where),
  };
  return { entry, archivedBytes, sparse: resolveSparse(header, block, at, entry, pax, limits, where) };
}

const ACCESS_ACL = "system.posix_acl_access";
const DEFAULT_ACL = "system.posix_acl_default";
const NO_DEVICE = { major: 0, minor: 0 };
const OLD_FILE = 0;
const FILE = 0x30;
const GNU_DUMPDIR = 0x44;
const GNU_SPARSE = 0x53;

/**
 * POSIX would have unknown types read as files. They are refused, as in docker and containerd: a file in place of
 * something else is a loss nobody notices. The size of what is not a file means nothing (no data follows), as in Go and
 * libarchive; GNU tar agrees for hard links.
 */
function resolveType(header: Header, path: string, sizeBytes: number, where: TarPosition): EntryType {
  const flag = header.typeflag;
  if (path.endsWith("/") && (flag === OLD_FILE || (flag === FILE && header.format === "v7"))) {
    if (sizeBytes === 0) return "directory"; // before "5" there was only the slash
    throw refuse(where, "ERR_TAR_TYPE", `it is a directory by its name and has ${sizeBytes} bytes of content`);
  }
  switch (flag) {
    case OLD_FILE:
    case FILE:
    case 0x37: // "7", a contiguous file
      return "file";
    case 0x31:
      return "hardlink";
    case 0x32:
      return "symlink";
    case 0x33:
      return "character";
    case 0x34:
      return "block";
    case 0x35:
    case GNU_DUMPDIR: // a directory of an incremental backup, followed by a list of its names
      return "directory";
    case 0x36:
      return "fifo";
    case GNU_SPARSE:
      if (header.format === "gnu") return "file";
      throw refuse(where, "ERR_TAR_TYPE", 'its type "S" is not that of a GNU sparse file'); // star lays it out otherwise
    case 0x4d:
      throw refuse(where, "ERR_TAR_TYPE", "it continues a file of another volume");
    default: {
      const shown = flag > 0x20 && flag < 0x7f ? `"${String.fromCharCode(flag)}"` : String(flag);
      throw refuse(where, "ERR_TAR_TYPE", `its type ${shown} is unknown`);
    }
  }
}

function resolvePath(header: Header, extensions: Extensions, where: TarPosition): string {
  const { pax, longName } = extensions;
  const path = pax?.sparseRecords?.get("GNU.sparse.name") || pax?.path || null;
  // GNU tar takes the PAX path, Go the long name.
  if (path !== null && longName !== null && path !== longName) {
    throw refuse(where, "ERR_TAR_NAME", "it has a GNU long name and a different PAX path");
  }
  const resolved = path ?? longName ?? header.path;
  if (resolved === "") throw refuse(where, "ERR_TAR_NAME", "it has no name");
  return resolved;
}

function resolveLink(header: Header, extensions: Extensions, where: TarPosition): string {
  const path = extensions.pax?.linkPath ?? null;
  const { longLink } = extensions;
  if (path !== null && longLink !== null && path !== longLink) {
    throw refuse(where, "ERR_TAR_NAME", "it has a GNU long link and a different PAX linkpath");
  }
  const resolved = path ?? longLink ?? header.linkTarget;
  if (resolved === "") throw refuse(where, "ERR_TAR_NAME", "it is a link without a target");
  return resolved;
}

function checkId(id: number, field: string, where: TarPosition): number {
  if (id <= MAX_ID) return id;
  throw refuse(where, "ERR_TAR_NUMBER", `its ${field} ${id} is beyond ${MAX_ID}`);
}

function checkDevice(block: Buffer, at: number, where: TarPosition): { major: number; minor: number } {
  const device = parseDevice(block, at, where);
  if (device.major <= MAX_MAJOR && device.minor <= MAX_MINOR) return device;
  throw refuse(where, "ERR_TAR_NUMBER", `its device ${device.major}:${device.minor} does not exist on Linux`);
}

/** Raw xattrs win over the text forms, which need not even be readable then. */
function collectXattrs(pax: PaxFields, mode: number, where: TarPosition): ReadonlyMap<string, Uint8Array> {
  const { xattrs } = pax;
  const derived = new Map<string, Uint8Array>();
  if (pax.accessAcl !== null && !xattrs?.has(ACCESS_ACL)) {
    const acl = aclFromText(pax.accessAcl, where);
    if (!isModeAlone(acl, mode)) derived.set(ACCESS_ACL, acl);
  }
  if (pax.defaultAcl !== null && !xattrs?.has(DEFAULT_ACL))
    derived.set(DEFAULT_ACL, aclFromText(pax.defaultAcl, where));
  if (pax.selinux !== null && !xattrs?.has("security.selinux")) {
    // On disk a context ends with a NUL, which the record leaves out.
    derived.set("security.selinux", Buffer.from(`${pax.selinux.replace(/\0$/, "")}\0`, "latin1"));
  }
  if (derived.size === 0) return xattrs ?? NO_XATTRS;
  return new Map([...(xattrs ?? NO_XATTRS), ...derived]);
}

function resolveSparse(
  header: Header,
  block: Buffer,
  at: number,
  entry: TarEntry,
  pax: PaxFields | null,
  limits: TarLimits,
  where: TarPosition,
): SparseMember | null {
  const records = pax?.sparseRecords ?? null;
  const numbers = pax?.sparseNumbers ?? null;
  const inPax = records !== null || numbers !== null;
  const inHeader = header.typeflag === GNU_SPARSE;
  const realSizeBytes = pax?.realSizeBytes ?? null;
  if (!inPax && !inHeader) {
    if (realSizeBytes === null || realSizeBytes === entry.sizeBytes || entry.type !== "file") return null;
    throw refuse(where, "ERR_TAR_SPARSE", "it is a sparse file and its map is in an unknown format");
  }
  if ((inPax && inHeader) || entry.type !== "file") {
    throw refuse(where, "ERR_TAR_SPARSE", "it has a sparse map where none can be");
  }
  const extents = new ExtentList(limits, where);
  if (inHeader) {
    const more = addHeaderExtents(block, at, extents, where);
    return {
      extents,
      realSizeBytes: realSizeBytes ?? oldGnuRealSize(block, at, where),
      rest: more ? "blocks" : "none",
    };
  }
  return paxSparse(records ?? new Map(), numbers, extents, limits, where);
}

function paxSparse(
  records: ReadonlyMap<string, string>,
  numbers: readonly number[] | null,
  extents: ExtentList,
  limits: TarLimits,
  where: TarPosition,
): SparseMember {
  const number = (key: string): number | null => {
    const text = records.get(key);
    return text === undefined ? null : parseDecimal(text, key, where);
  };
  const major = records.get("GNU.sparse.major");
  const minor = records.get("GNU.sparse.minor");
  const version = major === undefined && minor === undefined ? "0.0" : `${major}.${minor}`; // 0.x need not say
  const realSizeBytes = number("GNU.sparse.size") ?? number("GNU.sparse.realsize");
  if (realSizeBytes === null) throw refuse(where, "ERR_TAR_SPARSE", "its sparse map comes without the file's size");
  if (version === "1.0") return { extents, realSizeBytes, rest: "data" };

  const map = records.get("GNU.sparse.map");
  const pairs =
    map === undefined
      ? numbers
      : map
          .split(",", 2 * limits.sparseExtents + 2) // one more than the limit, so that the list refuses it
          .map((text) => parseDecimal(text, "GNU.sparse.map", where));
  const count = number("GNU.sparse.numblocks");
  if (!/^0\.[01]$/.test(version) || pairs === null) {
    throw refuse(where, "ERR_TAR_SPARSE", "its sparse map is in an unknown format");
  }
  if (pairs.length % 2 !== 0 || (count !== null && count !== pairs.length / 2)) {
    throw refuse(where, "ERR_TAR_SPARSE", "its sparse map does not have as many extents as it says");
  }
  for (let i = 0; i < pairs.length; i += 2) extents.add(pairs[i] as number, pairs[i + 1] as number);
  return { extents, realSizeBytes, rest: "none" };
}

/** The entry of a sparse file once its map is known. @throws {IntegrityError} `ERR_TAR_SPARSE` */
export function withExtents(entry: TarEntry, sparse: SparseMember, dataBytes: number): TarEntry {
  const extents: readonly Extent[] = sparse.extents.finish(sparse.realSizeBytes, dataBytes);
  return { ...entry, sizeBytes: sparse.realSizeBytes, extents };
}
