import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { isErrno } from "../../../../src/errors.ts";
import { MergedTree } from "../../../../src/overlay/merged-tree.ts";
import { overlayXattr } from "../../../../src/overlay/xattr-names.ts";
import { bytesOf, childPath, type HostPath, joinHost, type LayerPath, parseLayerPath } from "../../../../src/paths.ts";
import { AT_FDCWD, close, mkdirAt, O_RDONLY, openAt } from "../../../../src/sys/file.ts";
import { setXattr } from "../../../../src/sys/xattr.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { listMerged, mergedListing, writableNamespace, writeLayers } from "../../../helpers/tree.ts";

const namespace = writableNamespace;

async function merged(...layers: readonly string[]): Promise<string> {
  await using directory = temporaryDirectory();
  return mergedListing(directory.host(), layers);
}

function mark(path: HostPath, name: Parameters<typeof overlayXattr>[1], value: string): void {
  setXattr(path, overlayXattr(namespace, name), Buffer.from(value));
}

test("the top layer wins, and directories merge", async () => {
  assert.equal(await merged("a/x=1 a/y=2 b=3", "a/x=4 a/z=5"), "a/ a/x=4 a/y=2 a/z=5 b=3");
});

test("a whiteout hides a file or a whole directory, in the layers below only", async () => {
  assert.equal(await merged("a/x=1 b=2 c=3", "-a -b", "b=4"), "b=4 c=3");
});

test("a directory made again over a whiteout does not show its old children", async () => {
  assert.equal(await merged("a/ a/x=1", "-a", "a/ a/y=2"), "a/ a/y=2");
});

test("an opaque directory hides lower children, not itself, and stops at its layer", async () => {
  assert.equal(await merged("a/x=1", "a/! a/y=2", "a/z=3"), "a/ a/y=2 a/z=3");
});

test("a file over a directory hides it, and a directory over a file starts anew", async () => {
  assert.equal(await merged("a/x=1 b=1", "a=2 b/y=2"), "a=2 b/ b/y=2");
  assert.equal(await merged("a/x=1", "a=2", "a/y=3"), "a/ a/y=3", "the file between hides the lowest directory");
});

test("an opaque mark on the root of a layer does nothing, as in the kernel", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["a=1", "b=2"]);
  mark(lowerdirs[0] as HostPath, "opaque", "y");
  assert.equal(listMerged(new MergedTree(lowerdirs, { namespace })), "a=1 b=2");
});

test("symbolic links in layers are shown, never followed", async () => {
  await using directory = temporaryDirectory();
  const tree = new MergedTree(writeLayers(directory.host(), ["d/x=1", "l->d"]), { namespace });
  assert.equal(listMerged(tree), "d/ d/x=1 l->d");
  assert.equal(tree.lookup(parseLayerPath("l/x")), null);
});

test("a path through a file leads nowhere, as does one through nothing", async () => {
  await using directory = temporaryDirectory();
  const tree = new MergedTree(writeLayers(directory.host(), ["f=1"]), { namespace });
  for (const path of ["f/x", "f/x/y", "none/x", "x".repeat(300)]) assert.equal(tree.lookup(path as LayerPath), null);
  assert.equal(tree.lookup(parseLayerPath("f"))?.stat.sizeBytes, 1);
});

test("names that are not UTF-8 are found by their bytes", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["d/", "d/"]);
  writeFileSync(bytesOf(joinHost(lowerdirs[1] as HostPath, "d", "\xff\xfe")), "1");
  const tree = new MergedTree(lowerdirs, { namespace });
  assert.equal(tree.lookup("d/\xff\xfe" as LayerPath)?.name, "\xff\xfe");
  assert.deepEqual(
    tree.list(tree.lookup("d" as LayerPath) ?? tree.root).map((entry) => entry.name),
    ["\xff\xfe"],
  );
});

test("an empty file with the whiteout attribute hides, a full one does not", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["d/a=1 d/b=1", "d/a= d/b=2"]);
  const top = joinHost(lowerdirs[0] as HostPath, "d");
  mark(top, "opaque", "x");
  for (const name of ["a", "b"]) mark(joinHost(top, name), "whiteout", "");
  assert.equal(listMerged(new MergedTree(lowerdirs, { namespace })), "d/ d/b=2");
});

test("a renamed directory goes on under its old name below: relative, and absolute from the root", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["p/old/x=1 far/deep/y=1", "p/new/z=2 p/moved/ -p/old"]);
  mark(joinHost(lowerdirs[0] as HostPath, "p", "new"), "redirect", "old");
  mark(joinHost(lowerdirs[0] as HostPath, "p", "moved"), "redirect", "/far/deep");
  const expected = "far/ far/deep/ far/deep/y=1 p/ p/moved/ p/moved/y=1 p/new/ p/new/x=1 p/new/z=2";
  assert.equal(listMerged(new MergedTree(lowerdirs, { namespace })), expected);
});

test("a redirect that must not be followed is refused", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["old/x=1", "new/"]);
  mark(joinHost(lowerdirs[0] as HostPath, "new"), "redirect", "old");
  const tree = new MergedTree(lowerdirs, { namespace, followRedirect: false });
  assert.throws(() => tree.lookup("new" as LayerPath), { code: "EPERM" });
});

for (const redirect of ["", "/", "/a//b", "/../x", "..", "a/b"]) {
  test(`the malformed redirect "${redirect}" is refused`, async () => {
    await using directory = temporaryDirectory();
    const lowerdirs = writeLayers(directory.host(), ["d/x=1", "d/"]);
    mark(joinHost(lowerdirs[0] as HostPath, "d"), "redirect", redirect);
    const tree = new MergedTree(lowerdirs, { namespace });
    assert.throws(
      () => tree.lookup("d" as LayerPath),
      (error) => isErrno(error, "EINVAL"),
    );
  });
}

test("a metacopy file has its own metadata and the content of the next layer, under its name or the redirected one", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["f=data d/g=more", "", "f=0000 h=0000 -d/g"]);
  const top = lowerdirs[0] as HostPath;
  for (const name of ["f", "h"]) mark(joinHost(top, name), "metacopy", "");
  mark(joinHost(top, "h"), "redirect", "/d/g");
  const tree = new MergedTree(lowerdirs, { namespace });
  assert.equal(listMerged(tree), "d/ f=data h=more");
  const entry = tree.lookup("h" as LayerPath);
  assert.equal(entry?.hostPath, joinHost(top, "h"));
  assert.deepEqual(entry?.layers, [0, 2]);
});

test("a metacopy file with nothing below is an input/output error, not an empty file", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["f/", "f=0"]);
  mark(joinHost(lowerdirs[0] as HostPath, "f"), "metacopy", "");
  assert.throws(() => new MergedTree(lowerdirs, { namespace }).lookup("f" as LayerPath), { code: "EIO" });
});

test("overlay attributes are hidden and escaped ones shown without the escape", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["d/"]);
  const path = joinHost(lowerdirs[0] as HostPath, "d");
  mark(path, "origin", "o");
  setXattr(path, `${namespace}.overlay.overlay.opaque`, Buffer.from("y"));
  setXattr(path, `${namespace}.overlay.overlay.overlay.redirect`, Buffer.from("r"));
  setXattr(path, "user.plain", Buffer.from([0, 255]));
  const tree = new MergedTree(lowerdirs, { namespace });
  const entry = tree.lookup("d" as LayerPath);
  assert.ok(entry);
  assert.deepEqual(
    [...tree.visibleXattrs(entry)].sort(),
    [
      [`${namespace}.overlay.opaque`, Buffer.from("y")],
      [`${namespace}.overlay.overlay.redirect`, Buffer.from("r")],
      ["user.plain", Buffer.from([0, 255])],
    ].sort(),
  );
});

test("layers said to be unpacked are not asked for redirects, the first one is", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), ["old/x=1", "a/", "b/"]);
  mark(joinHost(lowerdirs[1] as HostPath, "a"), "redirect", "old");
  mark(joinHost(lowerdirs[0] as HostPath, "b"), "redirect", "old");
  assert.equal(listMerged(new MergedTree(lowerdirs, { namespace, unpackedLayers: true })), "a/ b/ b/x=1 old/ old/x=1");
});

test("paths longer than a system call takes are looked up, listed and read", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host(), [""]);
  const name = "x".repeat(250);
  const fds = [openAt(AT_FDCWD, lowerdirs[0] as HostPath, O_RDONLY)];
  for (let depth = 0; depth < 20; depth++) {
    const parent = fds[depth] as number;
    mkdirAt(parent, name, 0o755);
    fds.push(openAt(parent, name, O_RDONLY));
  }
  for (const fd of fds) close(fd);
  const tree = new MergedTree(lowerdirs, { namespace });
  const path = (depth: number): LayerPath => Array(depth).fill(name).join("/") as LayerPath;
  for (const depth of [15, 16, 17, 20]) {
    const entry = tree.lookup(path(depth));
    assert.ok(entry !== null, `${depth} names`);
    assert.deepEqual(
      tree.list(entry).map((child) => child.path),
      depth === 20 ? [] : [path(depth + 1)],
    );
    assert.deepEqual([...tree.visibleXattrs(entry)], []);
  }
  assert.equal(tree.lookup(childPath(path(20), "missing")), null);
  assert.equal(tree.lookup(childPath(path(19), "missing/too")), null);
});
