import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeTable } from "../../../../fuse/union/node.ts";
import { S_IFDIR, S_IFREG } from "../../../../src/sys/file.ts";

/** Half of what ext4 gives a file. */
const NAMES = 30_000;

test("a file gets and loses tens of thousands of names without each costing as much as all before it", () => {
  const nodes = new NodeTable();
  const root = nodes.add(S_IFDIR, 1, true, []);
  const node = nodes.add(S_IFREG, 2, true, []);
  node.lookups = 1;
  const before = process.cpuUsage();
  for (let at = 0; at < NAMES; at++) nodes.attach(node, root, `name${at}`);
  assert.equal(node.names.length, NAMES);
  for (let at = 0; at < NAMES; at++) nodes.detach(node, root, `name${at}`);
  const seconds = process.cpuUsage(before).user / 1e6;
  assert.ok(node.isOrphan);
  assert.ok(seconds < 5, `it took ${seconds} s`);
});
