import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { DirectoryIndex, isVisible } from "../../../../fuse/union/directory-index.ts";
import { LayerOpener } from "../../../../fuse/union/layer.ts";
import { bytesOf } from "../../../../src/paths.ts";
import { DT } from "../../../../src/sys/dirents.ts";
import { close } from "../../../../src/sys/file.ts";
import { setXattr } from "../../../../src/sys/xattr.ts";
import { requires } from "../../../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";
import { writeLayers } from "../../../helpers/tree.ts";

/** The index of the root of a stack: of all but the last layer of the notation as lower ones, base first. */
function indexOf(directory: TemporaryDirectory, layers: readonly string[], aufs: boolean, hasUpper = true) {
  const [top, ...lowers] = writeLayers(directory.host(), layers);
  const opener = new LayerOpener();
  const open = (top === undefined ? [] : [top, ...lowers]).map((path, at) => opener.open(path, at - 1));
  const [first, ...rest] = open.map((layer) => ({ layer, path: "." }));
  const upper = hasUpper ? (first ?? null) : null;
  const index = new DirectoryIndex(upper, hasUpper ? rest : [...(first ? [first] : []), ...rest], {
    namespace: "trusted",
    aufs,
  });
  for (const { fd } of open) close(fd);
  return index;
}

function seen(index: DirectoryIndex): string {
  return index
    .listing()
    .filter(isVisible)
    .map(({ name }) => name)
    .sort()
    .join(" ");
}

test("whiteouts hide what is below them, in the order of the layers", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const index = indexOf(directory, ["a=1 b=1 c=1", "-a -b", "a=2"], false);
  assert.equal(seen(index), "a c");
  assert.deepEqual(index.get("a"), { ...index.get("a"), upper: "present", lowers: [] });
});

test("AUFS whiteouts and opaque marks hide only where they are asked for", async () => {
  const layers = ["a=1 b=1", ".wh.a= .wh..wh.plnk=", ".wh..wh..opq= c=1"];
  await using one = temporaryDirectory();
  assert.equal(seen(indexOf(one, layers, true)), "c");
  await using other = temporaryDirectory();
  assert.equal(seen(indexOf(other, layers, false)), ".wh..wh..opq .wh..wh.plnk .wh.a a b c");
});

test("a name that is whited out and made anew in one layer shows what that layer has", async () => {
  await using directory = temporaryDirectory();
  const index = indexOf(directory, ["a/ a/old=1", "a/ a/new=1 .wh.a=", "b=1"], true);
  assert.equal(seen(index), "a b");
  assert.deepEqual(index.get("a")?.lowers, [0]); // not the one below the whiteout
});

test("an empty file is a whiteout where its directory says it may be", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const [, middle] = writeLayers(directory.host(), ["a=1 b=1", "c=1", "d=1"]).toReversed();
  assert.ok(middle !== undefined);
  setXattr(middle, "trusted.overlay.opaque", Buffer.from("x"));
  writeFileSync(bytesOf(`${middle}/a`), "");
  setXattr(`${middle}/a` as typeof middle, "trusted.overlay.whiteout", Buffer.from("y"));
  const opener = new LayerOpener();
  const layers = ["layer2", "layer1", "layer0"].map((name, at) => opener.open(directory.host(name), at - 1));
  const [upper, ...lowers] = layers.map((layer) => ({ layer, path: "." }));
  const index = new DirectoryIndex(upper ?? null, lowers, { namespace: "trusted", aufs: false });
  for (const { fd } of layers) close(fd);
  assert.equal(seen(index), "b c d");
});

test("a reader goes on after its offset while names come and go", async () => {
  await using directory = temporaryDirectory();
  const index = indexOf(directory, ["a=1 b=1 c=1 d=1", "e=1"], false);
  const before = index.listing().map(({ name, cookie }) => [name, cookie] as const);
  const [first, second] = before;
  assert.ok(first !== undefined && second !== undefined);
  index.setAbsent(first[0], "whiteout");
  index.setPresent("new", DT.reg, 1);
  const after = new Map(index.listing().map(({ name, cookie }) => [name, cookie]));
  for (const [name, cookie] of before) assert.equal(after.get(name), cookie);
  const last = Math.max(...before.map(([, cookie]) => cookie));
  assert.ok((after.get("new") ?? 0) > last, "what is new comes after everything that was there");
  assert.equal(seen(index), [...before.slice(1).map(([name]) => name), "new"].sort().join(" "));
});

test("names that come and go by the thousand do not stay in the listing", async () => {
  await using directory = temporaryDirectory();
  const index = indexOf(directory, ["a=1", "b=1"], false);
  index.listing();
  for (let at = 0; at < 5_000; at++) {
    index.setPresent(`n${at}`, DT.reg, at + 1);
    index.setAbsent(`n${at}`, "none");
    if (at % 100 === 0) index.listing();
  }
  assert.ok(index.listing().length < 500);
  assert.equal(seen(index), "a b");
});
