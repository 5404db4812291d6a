import assert from "node:assert/strict";
import { utimesSync } from "node:fs";
import { test } from "node:test";
import { copyUp } from "../../../../fuse/union/copy-up.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { nodeAt, openUnion, writeScene } from "../../../helpers/union-scene.ts";

const LONG_AGO_S = 86_400;

// Found by `npm run property -- --subject core --crash --seed 2`: a server that was killed between the two showed no content
// and the time of the content.
test("a copy that is to be truncated has the time of that from the beginning", async () => {
  await using directory = temporaryDirectory();
  const scene = writeScene(directory, ["cut=1 whole=1"]);
  for (const name of ["cut", "whole"])
    utimesSync(`${/lowerdir=([^,]*)/.exec(scene)?.[1]}/${name}`, LONG_AGO_S, LONG_AGO_S);
  using union = openUnion(scene);
  const [cut, whole] = [nodeAt(union, "cut"), nodeAt(union, "whole")];
  copyUp(union, cut, "nothing");
  copyUp(union, whole);
  const days = [cut, whole].map((node) => Math.floor(Number(union.statOf(node).mtimeNs / 1_000_000_000n) / LONG_AGO_S));
  assert.equal(days[1], 1);
  assert.ok((days[0] ?? 0) > 10_000, `day ${days[0]} since 1970`);
});
