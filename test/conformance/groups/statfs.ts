/** What statfs(2) tells of the file system. */

import assert from "node:assert/strict";
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { declare } from "../../../src/sys/libc.ts";
import { check, group } from "../check.ts";

const pathconf = declare<number>("long pathconf(const void *path, int name)");
const [PC_LINK_MAX, PC_NAME_MAX, PC_PATH_MAX] = [0, 3, 4];

export const statfs = group(
  "statfs",
  check("the numbers of blocks and files make sense", "f=1 d/", (place) => {
    for (const name of ["", "f", "d"]) {
      const { bsize, blocks, bfree, bavail, files, ffree } = statfsSync(place.path(name));
      assert.ok(bsize >= 512 && blocks > 0, `${blocks} blocks of ${bsize}`);
      assert.ok(bfree <= blocks && bavail <= bfree && ffree <= files, "more is free than there is");
    }
  }),
  check("there is as much room as where changes go", "f=1", (place) => {
    const [here, there] = [statfsSync(place.path()), statfsSync(dirname(place.twin))];
    assert.deepEqual([here.bsize * here.blocks, here.files], [there.bsize * there.blocks, there.files]);
  }),
  check("names have up to 255 bytes", "f=1", (place) => {
    const path = Buffer.from(`${place.path()}\0`, "latin1");
    assert.deepEqual([Number(pathconf(path, PC_NAME_MAX)), Number(pathconf(path, PC_PATH_MAX))], [255, 4096]);
    assert.ok(Number(pathconf(path, PC_LINK_MAX)) > 100);
  }),
);
