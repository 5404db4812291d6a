/** Extended attributes: sizes, flags, namespaces, and what of overlayfs' own must not show (xattr(7)). */

import assert from "node:assert/strict";
import { joinHost } from "../../../src/paths.ts";
import { AT_FDCWD, mknodAt, O_WRONLY, S_IFIFO } from "../../../src/sys/file.ts";
import { getXattr, listXattrs, setXattr } from "../../../src/sys/xattr.ts";
import {
  getXattrSize,
  listXattrSize,
  O_RDWR,
  removeXattr,
  setXattrWith,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../calls.ts";
import { check, type Given, group, refused } from "../check.ts";
import { ALICE, asUser } from "../credentials.ts";
import { type Place, writeTo } from "../place.ts";

const MARKED: Given = {
  tree: "f=1 d/",
  furnish: (layer) => {
    if (layer === undefined) return;
    for (const name of ["f", "d"]) setXattr(joinHost(layer, name), "user.x", Buffer.from("12345"));
  },
};
/** A capability as setcap(8) writes one: version 2, cap_net_raw. */
const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex");
const CAPABLE: Given = {
  tree: "f=1",
  root: true,
  furnish: (layer) => layer !== undefined && setXattr(joinHost(layer, "f"), "security.capability", CAPABILITY),
};

function attributeOf(place: Place, name: string, attribute: string): string | undefined {
  return getXattr(place.path(name), attribute)?.toString("latin1");
}

/** All names that a user of the tree may see: security labels of the host are not ours. */
function namesOf(place: Place, name: string): string {
  const all = listXattrs(place.path(name)).filter((each) => each !== "security.selinux");
  return all.toSorted().join(" ");
}

export const xattrs = group(
  "xattrs",
  check("an attribute is set, read, listed and removed", "f=1 d/", (place) => {
    for (const name of ["f", "d"]) {
      setXattr(place.path(name), "user.one", Buffer.from("1"));
      setXattr(place.path(name), "user.two", Buffer.from("22"));
      assert.deepEqual([namesOf(place, name), attributeOf(place, name, "user.two")], ["user.one user.two", "22"]);
      removeXattr(place.path(name), "user.one");
      assert.deepEqual([namesOf(place, name), attributeOf(place, name, "user.one")], ["user.two", undefined]);
    }
  }),
  check("an attribute that is there is read, replaced and removed", MARKED, (place) => {
    for (const name of ["f", "d"]) {
      assert.equal(attributeOf(place, name, "user.x"), "12345");
      setXattr(place.path(name), "user.x", Buffer.from("6"));
      assert.equal(attributeOf(place, name, "user.x"), "6");
      removeXattr(place.path(name), "user.x");
      assert.equal(namesOf(place, name), "");
    }
  }),
  check("attributes stay when a file is written", MARKED, (place) => {
    place.append("f", "2");
    place.chmod("d", 0o700);
    assert.deepEqual([attributeOf(place, "f", "user.x"), attributeOf(place, "d", "user.x")], ["12345", "12345"]);
  }),
  check("a buffer of no size asks for the size", MARKED, (place) => {
    assert.equal(getXattrSize(place.path("f"), "user.x", 0), 5);
    assert.equal(listXattrSize(place.path("f"), 0), "user.x".length + 1);
  }),
  check("a buffer that is too small is refused, one that fits is not", MARKED, (place) => {
    refused("ERANGE", () => getXattrSize(place.path("f"), "user.x", 4));
    assert.equal(getXattrSize(place.path("f"), "user.x", 5), 5);
    refused("ERANGE", () => listXattrSize(place.path("f"), 3));
    assert.equal(listXattrSize(place.path("f"), 7), 7);
  }),
  check("an attribute that is not there is ENODATA", "f=1", (place) => {
    refused("ENODATA", () => getXattrSize(place.path("f"), "user.none", 10));
    refused("ENODATA", () => removeXattr(place.path("f"), "user.none"));
  }),
  check("CREATE refuses what is there, REPLACE what is not", MARKED, (place) => {
    refused("EEXIST", () => setXattrWith(place.path("f"), "user.x", Buffer.from("1"), XATTR_CREATE));
    refused("ENODATA", () => setXattrWith(place.path("f"), "user.y", Buffer.from("1"), XATTR_REPLACE));
    setXattrWith(place.path("f"), "user.y", Buffer.from("1"), XATTR_CREATE);
    setXattrWith(place.path("f"), "user.x", Buffer.from("2"), XATTR_REPLACE);
    assert.deepEqual([attributeOf(place, "f", "user.x"), attributeOf(place, "f", "user.y")], ["2", "1"]);
  }),
  check("values are bytes: none, and all 256", "f=1", (place) => {
    const bytes = Buffer.from(Uint8Array.from({ length: 256 }, (_, index) => index));
    setXattr(place.path("f"), "user.empty", Buffer.alloc(0));
    setXattr(place.path("f"), "user.bytes", bytes);
    assert.deepEqual(
      [getXattr(place.path("f"), "user.empty"), getXattr(place.path("f"), "user.bytes")],
      [Buffer.alloc(0), bytes],
    );
  }),
  check("a name has up to 255 bytes, and some after its namespace", "f=1", (place) => {
    const longest = `user.${"n".repeat(250)}`;
    setXattr(place.path("f"), longest, Buffer.from("1"));
    assert.equal(attributeOf(place, "f", longest), "1");
    refused("ERANGE", () => setXattr(place.path("f"), `${longest}n`, Buffer.from("1")));
    refused("EINVAL", () => setXattr(place.path("f"), "user.", Buffer.from("1")));
  }),
  check("a value of three thousand bytes is kept, one of more than 64 KiB is refused", "f=1", (place) => {
    setXattr(place.path("f"), "user.long", Buffer.alloc(3000, "x"));
    assert.equal(attributeOf(place, "f", "user.long"), "x".repeat(3000));
    refused("E2BIG", () => setXattr(place.path("f"), "user.longer", Buffer.alloc(65_537)));
  }),
  check("a namespace that Linux does not know is refused", "f=1", (place) => {
    refused("ENOTSUP", () => setXattr(place.path("f"), "nothing.x", Buffer.from("1")));
  }),
  check("user attributes are for files and directories only", "l->f d/", (place) => {
    mknodAt(AT_FDCWD, place.path("d/p"), S_IFIFO | 0o600);
    refused("EPERM", () => setXattr(place.path("l"), "user.x", Buffer.from("1")));
    refused("EPERM", () => setXattr(place.path("d/p"), "user.x", Buffer.from("1")));
  }),
  check("trusted attributes are for anything", { tree: "l->f f=1 d/", root: true }, (place) => {
    mknodAt(AT_FDCWD, place.path("d/p"), S_IFIFO | 0o600);
    for (const name of ["l", "f", "d", "d/p"]) {
      setXattr(place.path(name), "trusted.x", Buffer.from(name));
      assert.deepEqual([attributeOf(place, name, "trusted.x"), namesOf(place, name)], [name, "trusted.x"]);
    }
  }),
  check("attributes are set and read through a descriptor", "f=1", (place) => {
    const fd = place.open("f", O_RDWR);
    setXattr(fd, "user.x", Buffer.from("1"));
    assert.deepEqual([getXattr(fd, "user.x")?.toString(), listXattrs(fd).includes("user.x")], ["1", true]);
    assert.equal(attributeOf(place, "f", "user.x"), "1");
  }),
  check("attributes go where the file goes", MARKED, (place) => {
    place.rename("f", "d/g");
    place.link("d/g", "h");
    assert.deepEqual([attributeOf(place, "d/g", "user.x"), attributeOf(place, "h", "user.x")], ["12345", "12345"]);
  }),
  check("attributes do not come back with a new file of the same name", MARKED, (place) => {
    place.unlink("f");
    place.rmdir("d");
    place.write("f", "2");
    place.mkdir("d");
    assert.deepEqual([namesOf(place, "f"), namesOf(place, "d")], ["", ""]);
  }),
  check("a capability stays over a change of mode", CAPABLE, (place) => {
    place.chmod("f", 0o711);
    assert.deepEqual(getXattr(place.path("f"), "security.capability"), CAPABILITY);
  }),
  check("a write takes a capability away", CAPABLE, (place) => {
    writeTo(place.open("f", O_WRONLY), "x");
    assert.equal(getXattr(place.path("f"), "security.capability"), null);
  }),
  check("a new owner takes a capability away", CAPABLE, (place) => {
    place.chown("f", 5, 5);
    assert.equal(getXattr(place.path("f"), "security.capability"), null);
  }),
  check("a write by another user takes a capability away", CAPABLE, (place) => {
    place.chmod("f", 0o666);
    asUser(ALICE, () => writeTo(place.open("f", O_WRONLY), "x"));
    assert.equal(getXattr(place.path("f"), "security.capability"), null);
  }),
  check(
    "nothing shows of how a union keeps its books",
    ["f=1 d/x=1 d/e/y=1 o/x=1 g=1", "o/! o/z=2 -d/x", "d/e/z=3"],
    (place) => {
      place.append("f", "2");
      place.unlink("d/e/y");
      place.write("d/x", "again");
      place.chmod("o", 0o700);
      place.unlink("g");
      place.mkdir("g");
      place.link("f", "f2");
      place.rename("f", "d/f");
      for (const name of ["d/f", "f2", "d", "d/e", "d/x", "o", "g", "o/z"])
        assert.equal(namesOf(place, name), "", name);
    },
  ),
  check(
    "an attribute that is only named like overlayfs' own is an attribute",
    { tree: "f=1 d/x=1", root: true },
    (place) => {
      for (const name of ["user.overlay.x", "trusted.overlay.x", "trusted.overlay.opaque"]) {
        setXattr(place.path("d"), name, Buffer.from("y"));
        assert.equal(attributeOf(place, "d", name), "y");
      }
      assert.equal(namesOf(place, "d"), "trusted.overlay.opaque trusted.overlay.x user.overlay.x");
      assert.equal(place.names("d"), "x");
    },
  ),
);
