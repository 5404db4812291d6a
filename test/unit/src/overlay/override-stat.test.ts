import assert from "node:assert/strict";
import { test } from "node:test";
import { shownXattr, storedXattr } from "../../../../src/overlay/override-names.ts";
import { formatOwnership, parseOwnership } from "../../../../src/overlay/override-stat.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFREG, S_IFSOCK } from "../../../../src/sys/file.ts";

const parse = (text: string, carrier = S_IFREG): unknown => parseOwnership(Buffer.from(text), carrier);
const plain = { rdevMajor: 0, rdevMinor: 0 };

test("owner and mode are read as podman and fuse-overlayfs write them", () => {
  assert.deepEqual(parse("0:0:0644"), { uid: 0, gid: 0, mode: S_IFREG | 0o644, ...plain });
  assert.deepEqual(parse("1000:5:100755"), { uid: 1000, gid: 5, mode: S_IFREG | 0o755, ...plain }); // fuse-overlayfs
  assert.deepEqual(parse("0:0:04755:file"), { uid: 0, gid: 0, mode: S_IFREG | 0o4755, ...plain });
  assert.deepEqual(parse("0:0:1777:dir", S_IFDIR), { uid: 0, gid: 0, mode: S_IFDIR | 0o1777, ...plain });
});

test("a regular file stands in for devices, fifos and sockets, and for nothing else", () => {
  const ids = { uid: 0, gid: 6 };
  for (const ownership of [
    { ...ids, mode: S_IFBLK | 0o660, rdevMajor: 8, rdevMinor: 17 },
    { ...ids, mode: S_IFCHR | 0o666, rdevMajor: 1, rdevMinor: 3 },
    { ...ids, mode: S_IFIFO | 0o600, ...plain },
    { ...ids, mode: S_IFSOCK | 0o700, ...plain },
    { ...ids, mode: S_IFREG | 0o6755, ...plain },
  ]) {
    assert.deepEqual(parseOwnership(formatOwnership(ownership), S_IFREG), ownership);
  }
  assert.equal(
    formatOwnership({ ...ids, mode: S_IFBLK | 0o60, rdevMajor: 8, rdevMinor: 17 }).toString(),
    "0:6:0060:block-8-17",
  );
  assert.deepEqual(parse("0:0:0755:dir"), { uid: 0, gid: 0, mode: S_IFREG | 0o755, ...plain });
  assert.deepEqual(parse("0:0:0755:char-1-3", S_IFDIR), { uid: 0, gid: 0, mode: S_IFDIR | 0o755, ...plain });
});

test("a value that says nothing is refused", () => {
  for (const text of ["", "0:0", "0:0:0648", "-1:0:0644", "0:4294967295:0644", "0:0:0644:door", "0:0:0644\n"]) {
    assert.throws(() => parse(text), { code: "EINVAL" }, text);
  }
});

test("names that a layer keeps for itself are hidden, and the payload's of the same name come back as they went in", () => {
  const override = "user.containers.override_stat";
  for (const [shown, stored] of [
    ["security.capability", "user.containers.override_security.capability"],
    ["user.overlay.opaque", "user.containers.override_user.overlay.opaque"],
    [override, "user.containers.override_user.containers.override_stat"],
    ["user.name", "user.name"],
    ["system.posix_acl_access", "user.containers.override_system.posix_acl_access"],
  ] as const) {
    assert.equal(storedXattr(shown, "user", override), stored);
    assert.equal(shownXattr(stored, "user", override), shown);
  }
  for (const hidden of [override, "security.selinux", "trusted.overlay.opaque", "user.overlay.impure"]) {
    assert.equal(shownXattr(hidden, "trusted", override), null);
  }
  const privileged = "security.fuseoverlayfs.override_stat";
  assert.equal(shownXattr(privileged, "trusted", privileged), null);
  assert.equal(storedXattr(privileged, "trusted", privileged), null);
  assert.equal(storedXattr("security.capability", "trusted", privileged), "security.capability");
  assert.equal(shownXattr(override, "trusted", null), override);
});
