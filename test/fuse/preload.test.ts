/** Small files of lower layers reach the page cache with their open: nothing is asked afterwards. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Statistics } from "../../fuse/server/counters.ts";
import { STATISTICS_XATTR } from "../../src/sys/fuse-device.ts";
import { type FuseMount, mountFuse } from "../helpers/fuse-mount.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeScene } from "../helpers/union-scene.ts";

const skip = requires("root", "fuse", "program:getfattr");
/** Takes a file's pages from the page cache. */
const forget = (name: string): string => `dd if=${name} iflag=nocache count=0 2>&-`;

/** How often a script asks for content, or what a file is. */
function readsOf(mount: FuseMount, script: string): number {
  const count = (): number => {
    const { requests } = JSON.parse(mount.sh(`getfattr --only-values -n ${STATISTICS_XATTR} .`)) as Statistics;
    return (requests.read ?? 0) + (requests.getattr ?? 0) + (requests.statx ?? 0);
  };
  mount.sh("stat *");
  const before = count();
  mount.sh(script);
  return count() - before;
}

test("a small file of a lower layer is read, and looked at afterwards, without asking for its content", {
  skip,
}, async () => {
  await using directory = temporaryDirectory();
  await using mount = await mountFuse(writeScene(directory, ["a=one b= c=three"]), directory.host("."));
  assert.equal(readsOf(mount, 'test "$(cat a)" = one && stat a && test "$(cat b c)" = three && stat b c'), 0);
  assert.equal(readsOf(mount, `${forget("a")}; test "$(cat a)" = one && stat a`), 2, "the kernel forgot it, and asks");
  await mount.unmount();
});

test("a large file is asked for, and one that was changed shows the change", { skip }, async () => {
  await using directory = temporaryDirectory();
  await using mount = await mountFuse(writeScene(directory, ["a=one"]), directory.host("."));
  mount.sh("cat a && echo two >>a");
  assert.equal(mount.sh("cat a"), "onetwo");
  mount.sh("truncate -s 100000 a");
  assert.equal(mount.sh("head -c 6 a; wc -c <a"), "onetwo100000");
  await mount.unmount();
});

test("many readers of the same small files do not wait for each other for ever", { skip }, async () => {
  await using directory = temporaryDirectory();
  const names = Array.from({ length: 20 }, (_, at) => `f${at}`);
  await using mount = await mountFuse(
    writeScene(directory, [names.map((n) => `${n}=${n}`).join(" ")]),
    directory.host("."),
  );
  const reader = `for i in $(seq 50); do for f in f*; do ${forget("$f")}; test $(cat $f) = $f || echo wrong; done; done`;
  assert.equal(mount.sh(`(${reader}) & (${reader}) & (${reader}) & wait`), "");
  await mount.unmount();
});
