/** Extended attributes, access control lists, capabilities, owners and modes, read back with the system's own tools. */

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { device, directory, file, header, pax, symlink, tar } from "../helpers/tar-builder.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { IMAGE, NEEDS_MOUNT, stat, tool, toolBytes, withMerged, xattr } from "./merged.ts";

const hex = (text: string): string => `0x${Buffer.from(text, "latin1").toString("hex")}`;
const BINARY = "a\0b\nc=\xff";

test("SCHILY.xattr records of every namespace become attributes", NEEDS_MOUNT, async () => {
  const records = {
    "SCHILY.xattr.user.binary": BINARY,
    "SCHILY.xattr.user.empty": "",
    "SCHILY.xattr.trusted.t": "trusted value",
    "SCHILY.xattr.security.s": "security value",
  };
  await withMerged([tar(pax(records), file("f", "x"))], (merged) => {
    assert.equal(xattr(merged, "user.binary", "f"), hex(BINARY));
    assert.match(tool(merged, "getfattr", "-d", "f"), /^user\.empty(=""|=0x)?$/m);
    assert.equal(xattr(merged, "trusted.t", "f"), hex("trusted value"));
    assert.equal(xattr(merged, "security.s", "f"), hex("security value"));
  });
});

test("LIBARCHIVE.xattr records become attributes, their names decoded", NEEDS_MOUNT, async () => {
  const base64 = Buffer.from(BINARY, "latin1").toString("base64").replace(/=+$/, "");
  const records = { "LIBARCHIVE.xattr.user.with%20space%3D": base64, "LIBARCHIVE.xattr.trusted.t": "dA" };
  await withMerged([tar(pax(records), file("f", "x"))], (merged) => {
    assert.equal(xattr(merged, "user.with space=", "f"), hex(BINARY));
    assert.equal(xattr(merged, "trusted.t", "f"), hex("t"));
  });
});

test("directories, symlinks, devices and fifos carry attributes too", NEEDS_MOUNT, async () => {
  const marked = pax({ "SCHILY.xattr.trusted.t": "v" });
  const fifo = header({ name: "fifo", type: "6" });
  const layer = tar(
    marked,
    directory("d/"),
    marked,
    symlink("s", "nowhere"),
    marked,
    device("c", "3", 1, 3),
    marked,
    fifo,
  );
  await withMerged([layer], (merged) => {
    for (const name of ["d", "s", "c", "fifo"]) assert.equal(xattr(merged, "trusted.t", name), hex("v"), name);
  });
});

test(
  "a directory that a layer lists twice has the attributes, owner, mode and time of the last",
  NEEDS_MOUNT,
  async () => {
    const [acl, old, young] = ["u::rwx,g::rwx,o::---,m::rwx,u:7:rwx", "old", "young"];
    const before = pax({ "SCHILY.xattr.trusted.a": old, "SCHILY.xattr.security.s": old, "SCHILY.acl.default": acl });
    const layer = tar(
      file("implicit/f"),
      before,
      directory("d/", { mode: 0o750, uid: 5, gid: 6 }),
      file("d/.wh..wh..opq"),
      file("d/f"),
      directory("implicit/", { mode: 0o711, mtime: 8 }),
      pax({ "SCHILY.xattr.trusted.b": young }),
      directory("d/", { mode: 0o701, mtime: 9 }),
    );
    await withMerged([tar(file("d/below")), layer], (merged) => {
      assert.equal(tool(merged, "getfattr", "-d", "-m", "-", "d"), `# file: d\ntrusted.b="${young}"`);
      assert.equal(tool(merged, "stat", "-c", "%a %u %g %Y", "d", "implicit"), "701 0 0 9\n711 0 0 8");
      assert.equal(tool(merged, "ls", "d"), "f");
    });
  },
);

test("an attribute as large as ext4 takes survives", NEEDS_MOUNT, async () => {
  const value = "v".repeat(3500); // what ext4 takes without its ea_inode feature
  await withMerged([tar(pax({ "SCHILY.xattr.user.large": value }), file("f"))], (merged) => {
    assert.equal(xattr(merged, "user.large", "f"), hex(value));
  });
});

test(
  "an attribute larger than the file system takes is refused by its name, not as a full disk",
  NEEDS_MOUNT,
  async () => {
    await using store = temporaryStore();
    const path = join(store.path, "rootfs.tar");
    writeFileSync(path, tar(pax({ "SCHILY.xattr.user.large": "v".repeat(65_536) }), file("f")));
    const { exitCode, stderr } = store.run(["import", "--rootfs", path]);
    if (exitCode === 0) return; // a file system without ext4's limit of one block
    assert.equal(exitCode, 5, stderr);
    assert.match(stderr, /"f": .*"user\.large".*ERR_LAYER_XATTR/);
  },
);

test("attributes that Linux has no place for are left out and named, and the rest is kept", NEEDS_MOUNT, async () => {
  await using store = temporaryStore();
  const path = join(store.path, "rootfs.tar");
  const marked = { "SCHILY.xattr.com.apple.provenance": "\x01", "SCHILY.xattr.user.kept": "v" };
  const entries = [directory("d/"), file("d/f", "x"), symlink("d/s", "f")];
  writeFileSync(path, tar(...entries.flatMap((entry) => [pax(marked), entry])));
  const { exitCode, stderr } = store.run(["--json", "import", "--rootfs", "--name", IMAGE, path]);
  assert.equal(exitCode, 5, "a symbolic link cannot have user attributes");
  assert.match(stderr, /"d\/s".*user\.kept/);
  const plain = [pax(marked), directory("d/"), pax(marked), file("d/f", "x")];
  const onLink = [pax({ "SCHILY.xattr.com.apple.provenance": "\x01" }), symlink("d/s", "f")];
  writeFileSync(path, tar(...plain, ...onLink));
  const text = store.run(["import", "--rootfs", "--name", IMAGE, path]);
  assert.equal(text.exitCode, 0, text.stderr);
  assert.match(text.stderr, /layer\.xattr\.skipped name=com\.apple\.provenance entries=3 first="?d\//);
  const merged = store.mount(IMAGE);
  assert.deepEqual([xattr(merged, "user.kept", "d"), xattr(merged, "user.kept", "d/f")], [hex("v"), hex("v")]);
  assert.match(store.ok("fsck", "--deep"), /sound/);
  await using other = temporaryStore();
  const json = other.run(["--json", "import", "--rootfs", path]);
  const [event] = json.stderr
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual([event.event, event.name, event.entries], ["layer.xattr.skipped", "com.apple.provenance", 3]);
});

test("text access control lists become what getfacl reads", NEEDS_MOUNT, async () => {
  const access = "user::rwx,user:1000:r--,group::r-x,group:nosuchgroup:rw-:4321,mask::rwx,other::---";
  const defaults = "user::rwx\nuser:daemon:rwx:1\ngroup::r-x\nmask::rwx\nother::r-x\n";
  const records = { "SCHILY.acl.access": access, "SCHILY.acl.default": defaults };
  await withMerged([tar(pax(records), directory("d/", { mode: 0o770 }))], (merged) => {
    const lines = tool(merged, "getfacl", "-n", "d").split("\n");
    for (const line of ["user:1000:r--", "group::r-x", "group:4321:rw-", "mask::rwx", "other::---"])
      assert.ok(lines.includes(line), line);
    for (const line of ["default:user:1:rwx", "default:other::r-x"]) assert.ok(lines.includes(line), line);
  });
});

for (const [program, options] of [
  ["tar", ["--format=pax", "--xattrs", "--xattrs-include=*", "--acls"]],
  ["bsdtar", ["--format=pax", "--xattrs", "--acls"]],
] as const) {
  test(`what ${program} archives of attributes and lists is there again`, attributesOf(program), async () => {
    await using source = temporaryDirectory();
    mkdirSync(join(source.path, "tree"));
    const tree = join(source.path, "tree");
    writeFileSync(join(tree, "f"), "x");
    mkdirSync(join(tree, "d"));
    tool(tree, "setfattr", "-n", "user.u", "-v", "value", "f");
    tool(tree, "setfattr", "-n", "user.d", "-v", "0x00ff0a3d", "d");
    tool(tree, "setfacl", "-m", "u:1234:r,g:4321:rwx", "f");
    tool(tree, "setfacl", "-d", "-m", "u:77:rwx", "d");
    const layer = toolBytes(tree, program, ...options, "-cf", "-", "f", "d");
    const want = tool(tree, "getfacl", "-n", "f", "d");
    await withMerged([layer], (merged) => {
      assert.equal(xattr(merged, "user.u", "f"), hex("value"));
      assert.equal(xattr(merged, "user.d", "d"), "0x00ff0a3d");
      assert.equal(tool(merged, "getfacl", "-n", "f", "d"), want);
    });
  });
}

function attributesOf(program: string): { skip: string | false } {
  return { skip: requires("root", "overlay", `program:${program}`, "program:setfacl", "program:setfattr") };
}

test("file capabilities of both versions are what getcap reads", NEEDS_MOUNT, async () => {
  const netRaw = 1 << 13;
  const revision2 = Buffer.alloc(20);
  revision2.writeUInt32LE(0x02000001, 0); // VFS_CAP_REVISION_2, effective
  revision2.writeUInt32LE(netRaw, 4);
  const revision3 = Buffer.alloc(24);
  revision2.copy(revision3);
  revision3.writeUInt32LE(0x03000001, 0);
  revision3.writeUInt32LE(100_000, 20); // the user namespace's root
  const layer = tar(
    pax({ "SCHILY.xattr.security.capability": revision2 }),
    file("v2", "x", { mode: 0o755, uid: 7 }),
    pax({ "SCHILY.xattr.security.capability": revision3 }),
    file("v3", "x", { mode: 0o755 }),
  );
  await withMerged([layer], (merged) => {
    assert.equal(tool(merged, "getcap", "-n", "v2"), "v2 cap_net_raw=ep");
    assert.equal(tool(merged, "getcap", "-n", "v3"), "v3 cap_net_raw=ep [rootid=100000]");
    assert.equal(xattr(merged, "security.capability", "v3"), `0x${revision3.toString("hex")}`);
  });
});

test("setuid, setgid and sticky bits survive the change of owner", NEEDS_MOUNT, async () => {
  const layer = tar(
    file("suid", "x", { mode: 0o4755, uid: 1000, gid: 1001 }),
    file("sgid", "x", { mode: 0o2711, uid: 3, gid: 4 }),
    directory("sticky/", { mode: 0o1777, uid: 5 }),
    directory("all/", { mode: 0o7000, gid: 6 }),
    file("all/none", "x", { mode: 0, uid: 65_534, gid: 65_534 }),
  );
  await withMerged([layer], (merged) => {
    assert.equal(stat(merged, "%a %u %g", "suid"), "4755 1000 1001");
    assert.equal(stat(merged, "%a %u %g", "sgid"), "2711 3 4");
    assert.equal(stat(merged, "%a %u %g", "sticky"), "1777 5 0");
    assert.equal(stat(merged, "%a %u %g", "all"), "7000 0 6");
    assert.equal(stat(merged, "%a %u %g", "all/none"), "0 65534 65534");
  });
});

test("a default list of a directory does not leak into what is made in it", NEEDS_MOUNT, async () => {
  const defaults = { "SCHILY.acl.default": "user::rwx,user:99:rwx,group::rwx,mask::rwx,other::rwx" };
  await withMerged(
    [tar(pax(defaults), directory("d/"), file("d/f", "x", { mode: 0o600 }), directory("d/e/"))],
    (merged) => {
      assert.equal(stat(merged, "%a", "d/f"), "600");
      assert.doesNotMatch(tool(merged, "getfacl", "-n", "d/f", "d/e"), /99/);
    },
  );
});

test("the root's own entry gives the merged root its mode, owner and attributes", NEEDS_MOUNT, async () => {
  const root = pax({ "SCHILY.xattr.user.root": "v" });
  await withMerged([tar(root, directory("./", { mode: 0o1751, uid: 12, gid: 13 }), file("f"))], (merged) => {
    assert.equal(stat(merged, "%a %u %g", "."), "1751 12 13");
    assert.equal(xattr(merged, "user.root", "."), hex("v"));
  });
});

test("the umask of who imports does not matter", NEEDS_MOUNT, async () => {
  const before = process.umask(0o077);
  try {
    await withMerged([tar(directory("d/", { mode: 0o777 }), file("d/f", "x", { mode: 0o666 }))], (merged) => {
      assert.equal(stat(merged, "%a", "d"), "777");
      assert.equal(stat(merged, "%a", "d/f"), "666");
      chmodSync(join(merged, "d/f"), 0o600);
    });
  } finally {
    process.umask(before);
  }
});
