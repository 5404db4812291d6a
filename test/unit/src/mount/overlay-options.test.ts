import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../../../../src/errors.ts";
import {
  checkOverlayOptions,
  formatOverlayOptions,
  kernelOptions,
  type OverlayOptions,
  parseOverlayOptions,
} from "../../../../src/mount/overlay-options.ts";

test("every option is read and written back in a fixed order", () => {
  const text = "index=on,redirect_dir=follow,metacopy=off,xino=auto,volatile,userxattr,nfs_export=off";
  const options: OverlayOptions = {
    index: true,
    redirectDir: "follow",
    metacopy: false,
    xino: "auto",
    volatile: true,
    userxattr: true,
    nfsExport: false,
  };
  assert.deepEqual(parseOverlayOptions(text.split(",").reverse().join(",")), options);
  assert.equal(formatOverlayOptions(options), text);
  assert.deepEqual(parseOverlayOptions(""), {});
  assert.deepEqual(kernelOptions({ volatile: true, index: false }), [
    ["index", "off"],
    ["volatile", true],
  ]);
});

for (const text of [
  "bogus",
  "bogus=1",
  "index",
  "index=maybe",
  "volatile=on",
  "index=on,index=off",
  "constructor",
  "xino=",
]) {
  test(`"${text}" is refused in words`, () => {
    assert.throws(
      () => parseOverlayOptions(text),
      (error) => error instanceof UsageError && /^Cannot use mount option/.test(error.message),
    );
  });
}

test("an unknown option's error lists the known ones", () => {
  assert.throws(
    () => parseOverlayOptions("lowerdir=/x"),
    /index, redirect_dir, metacopy, xino, volatile, userxattr, nfs_export/,
  );
});

const CONFLICTS: readonly (readonly [text: string, hasUpperdir: boolean])[] = [
  ["userxattr,metacopy=on", true],
  ["userxattr,redirect_dir=on", true],
  ["userxattr,index=on", true],
  ["userxattr,nfs_export=on", true],
  ["metacopy=on,redirect_dir=nofollow", true],
  ["nfs_export=on,metacopy=on", true],
  ["nfs_export=on,index=off", true],
  ["volatile", false],
  ["index=on", false],
  ["nfs_export=on", false],
];
for (const [text, hasUpperdir] of CONFLICTS) {
  test(`"${text}" ${hasUpperdir ? "" : "without an upperdir "}is a conflict`, () => {
    assert.throws(() => checkOverlayOptions(parseOverlayOptions(text), hasUpperdir), {
      code: "ERR_MOUNT_OPTION_CONFLICT",
    });
  });
}

test("options that go together pass", () => {
  for (const text of [
    "metacopy=on,redirect_dir=on,index=on",
    "userxattr,redirect_dir=nofollow",
    "nfs_export=on,index=on",
  ]) {
    checkOverlayOptions(parseOverlayOptions(text), true);
  }
  checkOverlayOptions(parseOverlayOptions("metacopy=on,xino=on"), false);
});
