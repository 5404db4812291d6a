import assert from "node:assert/strict";
import { test } from "node:test";
import { findMount, mountsBelow, mountsOfType, overlayDirectories } from "../../../../src/mount/mount-info.ts";
import { type HostPath, hostPath } from "../../../../src/paths.ts";

const TABLE = [
  "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
  String.raw`40 22 0:39 / /mnt/a\040b\011c\012d\134e rw,relatime - overlay layerctl rw,lowerdir+=/x/a\040b\054c:d\134e,lowerdir+=/y,upperdir=/u\054p,workdir=/w,index=on`,
  String.raw`41 22 0:40 / /mnt/classic ro,nosuid shared:2 master:1 - overlay layerctl ro,lowerdir=/l\134:0:/l1\134\134x,upperdir=/u\134\054p\134:x,workdir=/w`,
  "42 22 0:41 / /mnt/stacked rw - tmpfs one rw",
  "44 22 0:43 / /mnt/stackedmore rw - tmpfs other rw",
  "43 42 0:42 /sub /mnt/stacked rw - tmpfs two rw,size=1k",
  "45 22 0:44 / /mnt/\xff rw - tmpfs bytes rw",
  "",
].join("\n");

test("a mount point with blanks, newlines and backslashes is found by its bytes", () => {
  assert.equal(findMount(hostPath("/mnt/a b\tc\nd\\e"), TABLE)?.id, 40);
  assert.equal(findMount("/mnt/\xff" as HostPath, TABLE)?.source, "bytes");
  assert.equal(findMount(hostPath("/mnt"), TABLE), null);
  assert.equal(findMount(hostPath("/"), TABLE)?.type, "ext4");
});

test("optional fields are skipped, and every field is read", () => {
  assert.deepEqual(findMount(hostPath("/mnt/stacked"), TABLE), {
    id: 43,
    parentId: 42,
    devMajor: 0,
    devMinor: 42,
    root: "/sub",
    target: "/mnt/stacked",
    readOnly: false,
    type: "tmpfs",
    source: "two",
    superOptions: [
      ["rw", ""],
      ["size", "1k"],
    ],
  });
  assert.equal(findMount(hostPath("/mnt/classic"), TABLE)?.readOnly, true);
});

test("of mounts on top of each other the topmost is found, whatever their order in the table", () => {
  const lines = TABLE.split("\n");
  assert.equal(findMount(hostPath("/mnt/stacked"), [...lines].reverse().join("\n"))?.id, 43);
});

test("the layers of an overlay are read whether they were set one by one or in one string", () => {
  const [single, classic] = mountsOfType("overlay", TABLE);
  assert.ok(single && classic);
  assert.deepEqual(overlayDirectories(single), {
    lowerdirs: ["/x/a b,c:d\\e", "/y"],
    upperdir: "/u,p",
    workdir: "/w",
  });
  assert.deepEqual(overlayDirectories(classic), {
    lowerdirs: ["/l:0", "/l1\\x"],
    upperdir: "/u,p:x",
    workdir: "/w",
  });
});

test("what is mounted below a directory does not include names that only begin the same", () => {
  assert.deepEqual(
    mountsBelow(hostPath("/mnt/stacked"), TABLE).map((mount) => mount.id),
    [42, 43],
  );
  assert.equal(mountsBelow(hostPath("/"), TABLE).length, 7);
});

test("five thousand mounts are searched in milliseconds", () => {
  const many = Array.from({ length: 5000 }, (_, i) => `${i + 100} 22 0:${i} / /many/${i} rw - overlay layerctl rw`);
  const table = `${TABLE}${many.join("\n")}\n`;
  const start = performance.now();
  assert.equal(findMount(hostPath("/many/4999"), table)?.id, 5099);
  assert.ok(performance.now() - start < 100);
});
