import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFuseOptions } from "../../../fuse/options.ts";

const LOWER = "lowerdir=/a";

test("paths with colons, commas and backslashes are taken with a backslash before each", () => {
  const { lowerdirs, upperdir, workdir } = parseFuseOptions(
    "lowerdir=/a\\:b:/c\\,d:/e\\\\f,upperdir=/u\\,v,workdir=/w\\\\x",
  );
  assert.deepEqual(lowerdirs, ["/a:b", "/c,d", "/e\\f"]);
  assert.deepEqual([upperdir, workdir], ["/u,v", "/w\\x"]);
});

test("a mapping is taken as podman gives it, with a colon before it, and as fuse-overlayfs documents it", () => {
  const ranges = [
    { onDisk: 0, shown: 1000, count: 1 },
    { onDisk: 1, shown: 100_000, count: 65_536 },
  ];
  assert.deepEqual(parseFuseOptions(`${LOWER},uidmapping=:0:1000:1:1:100000:65536`).uidMapping, ranges);
  assert.deepEqual(parseFuseOptions(`${LOWER},gidmapping=0:1000:1:1:100000:65536`).gidMapping, ranges);
});

test("a label in quotes keeps its commas", () => {
  const { context, ignored } = parseFuseOptions(`${LOWER},context="system_u:object_r:t:s0:c1,c2"`);
  assert.deepEqual([context, ignored], ["system_u:object_r:t:s0:c1,c2", []]);
});

test("what is not known is told, and what other programs have for speed is taken", () => {
  const { ignored, readOnly } = parseFuseOptions(`${LOWER},lazytime,kernel_cache,foo=1,metacopy=on,nosuid`);
  assert.deepEqual([ignored, readOnly], [["lazytime", "foo"], true]);
});

test("the transport is ours unless another is asked for", () => {
  const transports = ["", ",transport=device", ",transport=fuse-native"].map(
    (option) => parseFuseOptions(`${LOWER}${option}`).transport,
  );
  assert.deepEqual(transports, ["device", "device", "fuse-native"]);
});

test("an upperdir that is read-only is the topmost layer", () => {
  for (const workdir of ["", ",workdir=/w"]) {
    const { lowerdirs, upperdir, workdir: work, readOnly } = parseFuseOptions(`${LOWER},upperdir=/u${workdir},ro`);
    assert.deepEqual([lowerdirs, upperdir, work, readOnly], [["/u", "/a"], null, null, true]);
  }
});

for (const [text, why] of [
  ["upperdir=/u,workdir=/w", "lowerdir"],
  ["lowerdir=/a::/b", "empty path"],
  [`${LOWER},upperdir=/u`, "workdir"],
  [`${LOWER},timeout=soon`, "not a number"],
  [`${LOWER},uidmapping=0:1`, "groups of three"],
  [`${LOWER},squash_to_uid=-1`, "not a number"],
  [`${LOWER},transport=pigeon`, "there are device and fuse-native"],
  [`${LOWER},transport`, "there are device and fuse-native"],
] as const) {
  test(`refused with the reason: ${text}`, () => {
    assert.throws(() => parseFuseOptions(text), { code: "ERR_MOUNT_OPTION", message: new RegExp(why) });
  });
}
