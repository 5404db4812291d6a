/** Open files, as the requests of a mount with a writeback cache make them. */

import assert from "node:assert/strict";
import { constants, utimesSync } from "node:fs";
import { test } from "node:test";
import { Counters } from "../../../../fuse/server/counters.ts";
import { Files } from "../../../../fuse/server/files.ts";
import type { Node } from "../../../../fuse/union/node.ts";
import { bytesOf } from "../../../../src/paths.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { nodeAt, openUnion, writeOver, writeScene } from "../../../helpers/union-scene.ts";

const { O_RDWR } = constants;
/** Seconds since the epoch, long ago. */
const OLD = 1_000_000;
const TOLD = 2_000_000;

test("what the page cache writes has a new time at once, and in the end the one that the page cache knows", async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["a=old"]));
  const files = new Files(union, null, new Counters());
  files.hasWriteback = true;
  writeOver(union, "a", "own");
  const timeOf = (node: Node): number => union.statOf(node).mtimeSeconds;
  const open = (): Node => {
    utimesSync(bytesOf(directory.host("upper", "a")), OLD, OLD);
    const node = nodeAt(union, "a");
    files.open(node, O_RDWR);
    return node;
  };
  const writeBack = (node: Node): void => {
    files.writesBack(node);
    writeOver(union, "a", "new");
    assert.ok(timeOf(node) > TOLD, "as somebody finds it after a crash");
  };

  const untold = open(); // the kernel's clock has not moved since the file was made
  writeBack(untold);
  files.release(untold, O_RDWR);
  assert.equal(timeOf(untold), OLD);

  const toldBefore = open();
  files.toldTime(toldBefore, { seconds: TOLD, rest: 0 });
  writeBack(toldBefore);
  files.release(toldBefore, O_RDWR);
  assert.equal(timeOf(toldBefore), TOLD);

  const toldAfter = open();
  writeBack(toldAfter);
  const set = timeOf(toldAfter);
  files.toldTime(toldAfter, { seconds: set, rest: 0 });
  files.release(toldAfter, O_RDWR);
  assert.equal(timeOf(toldAfter), set);
});
