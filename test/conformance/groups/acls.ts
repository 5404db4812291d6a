/** POSIX access control lists, in the form that the kernel takes them: system.posix_acl_access and _default (acl(5)). */

import assert from "node:assert/strict";
import { joinHost } from "../../../src/paths.ts";
import { O_CREAT, O_WRONLY } from "../../../src/sys/file.ts";
import { getXattr, listXattrs, setXattr } from "../../../src/sys/xattr.ts";
import { removeXattr } from "../calls.ts";
import { check, type Given, group, refused } from "../check.ts";
import { ALICE, asUser, BOB } from "../credentials.ts";
import type { Place } from "../place.ts";

const ACCESS = "system.posix_acl_access";
const DEFAULT = "system.posix_acl_default";
const TAGS = { u: 1, user: 2, g: 4, group: 8, mask: 16, o: 32 } as const;

/** The binary form of "u:7 user:12001:4 g:5 mask:5 o:0": tags, ids of named ones, permissions in octal. */
function acl(text: string): Buffer {
  const entries = text.split(" ").map((entry) => entry.split(":"));
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  for (const [index, words] of entries.entries()) {
    bytes.writeUInt16LE(TAGS[words[0] as keyof typeof TAGS], 4 + index * 8);
    bytes.writeUInt16LE(Number(words.at(-1)), 6 + index * 8);
    bytes.writeUInt32LE(words.length === 3 ? Number(words[1]) : 0xffffffff, 8 + index * 8);
  }
  return bytes;
}

/** The text of a list; null if there is none beyond the mode. */
function aclOf(place: Place, name: string, kind = ACCESS): string | null {
  const bytes = getXattr(place.path(name), kind);
  if (bytes === null) return null;
  const words: string[] = [];
  for (let at = 4; at < bytes.length; at += 8) {
    const tag = Object.entries(TAGS).find(([, number]) => number === bytes.readUInt16LE(at))?.[0];
    const id = bytes.readUInt32LE(at + 4);
    words.push(`${tag}:${id === 0xffffffff ? "" : `${id}:`}${bytes.readUInt16LE(at + 2)}`);
  }
  return words.join(" ");
}

const FOR_ALICE = `u:6 user:${ALICE.uid}:4 g:0 mask:4 o:0`;
const LISTED: Given = {
  tree: "f=1",
  root: true,
  furnish: (layer) => layer !== undefined && setXattr(joinHost(layer, "f"), ACCESS, acl(FOR_ALICE)),
};
const INHERITED = `u:7 user:${ALICE.uid}:7 g:5 mask:7 o:0`;
const INHERITING: Given = {
  tree: "d/",
  root: true,
  furnish: (layer) => layer !== undefined && setXattr(joinHost(layer, "d"), DEFAULT, acl(INHERITED)),
};

export const acls = group(
  "acls",
  check("a list lets a named user in and nobody else", LISTED, (place) => {
    assert.equal(aclOf(place, "f"), FOR_ALICE);
    assert.equal(
      asUser(ALICE, () => place.read("f")),
      "1",
    );
    refused("EACCES", () => asUser(BOB, () => place.read("f")));
    refused("EACCES", () => asUser(ALICE, () => place.append("f", "2")));
  }),
  check("a list is set, and counts at once", { tree: "f=1", root: true }, (place) => {
    place.chmod("f", 0o600);
    refused("EACCES", () => asUser(ALICE, () => place.read("f")));
    setXattr(place.path("f"), ACCESS, acl(`u:6 user:${ALICE.uid}:6 g:0 mask:6 o:0`));
    asUser(ALICE, () => place.append("f", "2"));
    assert.equal(place.read("f"), "12");
  }),
  check("a named group lets its members in", { tree: "f=1", root: true }, (place) => {
    setXattr(place.path("f"), ACCESS, acl("u:6 g:0 group:500:4 mask:4 o:0"));
    assert.equal(
      asUser({ ...BOB, groups: [500] }, () => place.read("f")),
      "1",
    );
    refused("EACCES", () => asUser(BOB, () => place.read("f")));
  }),
  check("the mask shows as the group's bits of the mode", LISTED, (place) => {
    assert.equal(place.mode("f"), "640");
    place.chmod("f", 0o600);
    assert.equal(aclOf(place, "f"), FOR_ALICE.replace("mask:4", "mask:0"));
    refused("EACCES", () => asUser(ALICE, () => place.read("f")));
    place.chmod("f", 0o660);
    assert.equal(
      asUser(ALICE, () => place.read("f")),
      "1",
    );
  }),
  check("a list that says no more than a mode becomes the mode", { tree: "f=1", root: true }, (place) => {
    setXattr(place.path("f"), ACCESS, acl("u:6 g:4 o:0"));
    assert.deepEqual(
      [place.mode("f"), aclOf(place, "f"), listXattrs(place.path("f")).includes(ACCESS)],
      ["640", null, false],
    );
  }),
  check("a list is removed", LISTED, (place) => {
    removeXattr(place.path("f"), ACCESS);
    assert.equal(aclOf(place, "f"), null);
    refused("EACCES", () => asUser(ALICE, () => place.read("f")));
  }),
  check("a list stays when the file is written, renamed and given away", LISTED, (place) => {
    place.append("f", "2");
    place.rename("f", "g");
    place.chown("g", 5, 5);
    assert.equal(aclOf(place, "g"), FOR_ALICE);
  }),
  check("a list that is no list is refused", { tree: "f=1", root: true }, (place) => {
    for (const wrong of ["u:6 g:4", `u:6 user:${ALICE.uid}:4 g:4 o:0`, "g:4 u:6 o:0"])
      refused("EINVAL", () => setXattr(place.path("f"), ACCESS, acl(wrong)));
    refused("EINVAL", () => setXattr(place.path("f"), ACCESS, Buffer.from("\x02\0\0")));
    assert.equal(aclOf(place, "f"), null);
  }),
  check("only the owner sets a list", { tree: "f=1", root: true }, (place) => {
    place.chown("f", ALICE.uid, ALICE.gid);
    refused("EPERM", () => asUser(BOB, () => setXattr(place.path("f"), ACCESS, acl("u:6 g:6 o:6"))));
    asUser(ALICE, () => setXattr(place.path("f"), ACCESS, acl("u:6 g:6 o:6")));
    assert.equal(place.mode("f"), "666");
  }),
  check("a default list is for directories", { tree: "f=1 l->f", root: true }, (place) => {
    refused("EACCES", () => setXattr(place.path("f"), DEFAULT, acl(INHERITED)));
    refused("ENOTSUP", () => setXattr(place.path("l"), ACCESS, acl(FOR_ALICE)));
  }),
  check("a file inherits the default list of its directory", INHERITING, (place) => {
    place.close(place.open("d/f", O_CREAT | O_WRONLY, 0o666));
    assert.equal(aclOf(place, "d/f"), INHERITED.replace("u:7", "u:6").replace("mask:7", "mask:6"));
    assert.deepEqual([place.mode("d/f"), aclOf(place, "d/f", DEFAULT)], ["660", null]);
    asUser(ALICE, () => place.append("d/f", "by alice"));
  }),
  check("a directory inherits the default list as both of its own", INHERITING, (place) => {
    place.mkdir("d/e");
    assert.deepEqual(
      [aclOf(place, "d/e"), aclOf(place, "d/e", DEFAULT), place.mode("d/e")],
      [INHERITED, INHERITED, "770"],
    );
  }),
  check("with a default list the umask does not count", INHERITING, (place) => {
    process.umask(0o077);
    place.close(place.open("d/f", O_CREAT | O_WRONLY, 0o664));
    place.close(place.open("d/g", O_CREAT | O_WRONLY, 0o600));
    assert.deepEqual([place.mode("d/f"), place.mode("d/g")], ["660", "600"]);
  }),
  check("what is renamed into a directory inherits nothing", INHERITING, (place) => {
    place.write("f", "1");
    place.rename("f", "d/f");
    assert.deepEqual([place.mode("d/f"), aclOf(place, "d/f")], ["644", null]);
  }),
  check("a symbolic link inherits nothing", INHERITING, (place) => {
    place.symlink("x", "d/l");
    assert.equal(place.mode("d/l"), "777");
  }),
  check("a default list does not change who may enter the directory", INHERITING, (place) => {
    assert.deepEqual([place.mode("d"), aclOf(place, "d")], ["755", null]);
    removeXattr(place.path("d"), DEFAULT);
    place.close(place.open("d/f", O_CREAT | O_WRONLY, 0o666));
    assert.deepEqual([place.mode("d/f"), aclOf(place, "d/f")], ["644", null]);
  }),
);
