import assert from "node:assert/strict";
import { test } from "node:test";
import { Counters } from "../../../../fuse/server/counters.ts";
import { create } from "../../../../fuse/union/create.ts";
import { lookup } from "../../../../fuse/union/lookup.ts";
import { getAttribute } from "../../../../fuse/union/xattrs.ts";
import { S_IFREG } from "../../../../src/sys/file.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { openUnion, ROOT, writeScene } from "../../../helpers/union-scene.ts";

test("what is remembered of listings, nodes and attributes is counted, and seen by who shares the counters", async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["a=1"]));
  const counters = new Counters();
  union.tally = counters.caches;
  const seen = new Counters(counters.shared);
  assert.equal(lookup(union, union.root, "missing"), null);
  assert.deepEqual(seen.snapshot().caches, {
    listings: { hits: 0, misses: 1 },
    nodes: { hits: 0, misses: 0 },
    noXattrs: { hits: 0, misses: 0 },
  });
  for (let times = 0; times < 3; times++) lookup(union, union.root, "a");
  assert.deepEqual(seen.snapshot().caches.listings, { hits: 3, misses: 1 });
  assert.deepEqual(seen.snapshot().caches.nodes, { hits: 2, misses: 1 });
  const { node } = create(union, ROOT, union.root, "new", { mode: S_IFREG | 0o644, umask: 0 });
  for (const each of [node, node, union.root]) getAttribute(union, each, "user.x");
  assert.deepEqual(seen.snapshot().caches.noXattrs, { hits: 2, misses: 1 });
});
