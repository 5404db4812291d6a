/**
 * POSIX access control lists: the text that tar keeps in `SCHILY.acl.*` (star(5), acl(5)) and the binary form of the
 * `system.posix_acl_*` xattrs (linux/posix_acl_xattr.h: version 2, then 8 bytes an entry, little-endian).
 *
 * Ids are numbers throughout. A name is refused unless its id follows it, as star and libarchive write: which id a name
 * has is a fact of the machine that wrote the archive, not of ours.
 */

import { display } from "../../src/paths.ts";
import { refuse, type TarPosition } from "./limits.ts";

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
/** The id of an entry that has none. */
const NO_ID = 0xffffffff;

/** linux/posix_acl.h */
const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;

interface AclEntry {
  readonly tag: number;
  /** r 4, w 2, x 1. */
  readonly permissions: number;
  readonly id: number;
}

/**
 * The binary form of an ACL's text, in canonical order. Entries are separated by commas or newlines; "#" starts a
 * comment.
 * @throws {IntegrityError} `ERR_TAR_ACL` if an entry is malformed or names a user without an id, or if the kernel would
 *   not take the list
 */
export function aclFromText(text: string, where: TarPosition): Buffer {
  const entries: AclEntry[] = [];
  for (const part of text.split(/[,\n]/)) {
    const entry = part.replace(/#.*/, "").trim();
    if (entry !== "") entries.push(parseEntry(entry, where));
  }
  entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
  const flaw = flawOf(entries);
  if (flaw !== null) throw refuse(where, "ERR_TAR_ACL", `its ACL ${flaw}`);
  const bytes = Buffer.alloc(HEADER_BYTES + entries.length * ENTRY_BYTES);
  bytes.writeUInt32LE(VERSION, 0);
  entries.forEach((entry, index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    bytes.writeUInt16LE(entry.tag, at);
    bytes.writeUInt16LE(entry.permissions, at + 2);
    bytes.writeUInt32LE(entry.id, at + 4);
  });
  return bytes;
}

/** True if a valid ACL in binary form says nothing that the permission bits of `mode` do not: GNU tar writes such texts. */
export function isModeAlone(acl: Buffer, mode: number): boolean {
  if (acl.length !== HEADER_BYTES + 3 * ENTRY_BYTES) return false; // owner, group, others: in this order
  const permissions = [0, 1, 2].map((index) => acl.readUInt16LE(HEADER_BYTES + index * ENTRY_BYTES + 2));
  return permissions.every((bits, index) => bits === ((mode >> (6 - 3 * index)) & 7));
}

/** The text of an ACL in binary form, comma-separated and with numeric ids; null if it is not one the kernel takes. */
export function aclToText(value: Uint8Array): string | null {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (bytes.length < HEADER_BYTES || (bytes.length - HEADER_BYTES) % ENTRY_BYTES !== 0) return null;
  if (bytes.readUInt32LE(0) !== VERSION) return null;
  const entries: AclEntry[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    entries.push({
      tag: bytes.readUInt16LE(at),
      permissions: bytes.readUInt16LE(at + 2),
      id: bytes.readUInt32LE(at + 4),
    });
  }
  if (flawOf(entries) !== null) return null;
  return entries.map(formatEntry).join(",");
}

/** Maps, for the words come from the archive: an object would also know "toString". */
const WITH_ID: ReadonlyMap<string, number> = new Map([
  ["user", USER],
  ["u", USER],
  ["group", GROUP],
  ["g", GROUP],
]);
const WITHOUT_ID: ReadonlyMap<string, number> = new Map([
  ["user", USER_OBJ],
  ["u", USER_OBJ],
  ["group", GROUP_OBJ],
  ["g", GROUP_OBJ],
  ["mask", MASK],
  ["m", MASK],
  ["other", OTHER],
  ["o", OTHER],
]);

/** "user::rwx", "user:1000:rwx", "user:name:rwx:1000", and "mask:rwx" as Solaris abbreviates it. */
function parseEntry(entry: string, where: TarPosition): AclEntry {
  const fields = entry.split(":").map((field) => field.trim());
  const kind = fields[0] as string;
  if (fields.length === 2 && /^(m|mask|o|other)$/.test(kind)) fields.splice(1, 0, "");
  const [, name, permissions, recordedId] = fields;
  const tag = (name === "" ? WITHOUT_ID : WITH_ID).get(kind);
  if (tag === undefined || name === undefined || permissions === undefined || !/^[rwx-]{0,3}$/.test(permissions)) {
    throw refuse(where, "ERR_TAR_ACL", `its ACL has the malformed entry "${display(entry)}"`);
  }
  if (name === "") return { tag, permissions: parsePermissions(permissions), id: NO_ID };
  const id = recordedId === undefined || recordedId === "" ? name : recordedId;
  if (!/^[0-9]{1,10}$/.test(id) || Number(id) >= NO_ID) {
    throw refuse(
      where,
      "ERR_TAR_ACL",
      `its ACL names "${display(id)}" and gives no numeric id; "tar --numeric-owner" writes ids`,
    );
  }
  return { tag, permissions: parsePermissions(permissions), id: Number(id) };
}

function parsePermissions(text: string): number {
  return (text.includes("r") ? 4 : 0) | (text.includes("w") ? 2 : 0) | (text.includes("x") ? 1 : 0);
}

/** What posix_acl_valid() in the kernel would refuse, for entries in its order. */
function flawOf(entries: readonly AclEntry[]): string | null {
  let previous: AclEntry | null = null;
  for (const entry of entries) {
    const named = entry.tag === USER || entry.tag === GROUP;
    if (![USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER].includes(entry.tag)) return "has an entry of unknown kind";
    if (entry.permissions > 7 || (!named && entry.id !== NO_ID)) return "has a malformed entry";
    if (previous !== null && (previous.tag > entry.tag || (previous.tag === entry.tag && previous.id >= entry.id))) {
      return "has an entry twice";
    }
    previous = entry;
  }
  const has = (tag: number) => entries.some((entry) => entry.tag === tag);
  if (!has(USER_OBJ) || !has(GROUP_OBJ) || !has(OTHER)) return "lacks the entry of the owner, the group or the others";
  return (has(USER) || has(GROUP)) && !has(MASK) ? "has named entries and no mask" : null;
}

function formatEntry(entry: AclEntry): string {
  const { permissions: p } = entry;
  const text = `${p & 4 ? "r" : "-"}${p & 2 ? "w" : "-"}${p & 1 ? "x" : "-"}`;
  switch (entry.tag) {
    case USER_OBJ:
      return `user::${text}`;
    case USER:
      return `user:${entry.id}:${text}`;
    case GROUP_OBJ:
      return `group::${text}`;
    case GROUP:
      return `group:${entry.id}:${text}`;
    case MASK:
      return `mask::${text}`;
    default:
      return `other::${text}`;
  }
}
