import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { isSelfContained, stitch } from "../../../../layers/apply/stitch.ts";
import { UnsettledWriter } from "../../../../layers/apply/unsettled.ts";
import { IntegrityError } from "../../../../src/errors.ts";
import type { LayerPath } from "../../../../src/paths.ts";
import { requires } from "../../../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";

const UNPACKED = { entries: 0, sizeBytes: 0, inodes: 0, opaqueRoot: false, skippedXattrs: [] } as const;

/** What is left to be settled, by kind. */
interface Pending {
  readonly implicitDirectories?: readonly LayerPath[];
  readonly whiteouts?: readonly LayerPath[];
  readonly pendingLinks?: readonly { readonly path: LayerPath; readonly target: LayerPath }[];
  readonly opaqueRoot?: boolean;
}

/** Makes the directories `base` and `layer` with a shell script, and stitches `layer` on top of `base`. */
function stitched(directory: TemporaryDirectory, script: string, pending: Pending): (command: string) => string {
  const run = (command: string): string =>
    execFileSync("sh", ["-euc", command], { cwd: directory.path, encoding: "utf8", stdio: "pipe" }).trim();
  run(`mkdir base layer unpacked; ${script}; mv layer unpacked/diff`);
  const { opaqueRoot = false, implicitDirectories = [], whiteouts = [], pendingLinks = [] } = pending;
  using writer = new UnsettledWriter(directory.host("unpacked"));
  for (const path of implicitDirectories) writer.add("directory", path);
  for (const path of whiteouts) writer.add("whiteout", path);
  for (const { path, target } of pendingLinks) writer.add("link", path, target);
  writer.flush();
  const unpacked = { ...UNPACKED, unsettled: writer.count, opaqueRoot };
  stitch(directory.host("unpacked"), unpacked, [directory.host("base")]);
  run("mv unpacked/diff layer; rmdir unpacked"); // the list is gone
  return run;
}

const paths = (...names: string[]): LayerPath[] => names as LayerPath[];

test("a directory that the layer does not list takes mode, owner, xattrs and time from below", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const run = stitched(
    directory,
    "mkdir -p base/a/b layer/a/b; touch layer/a/b/new; chmod 2750 base/a; chown 12:34 base/a/b; chmod 1777 base/a/b;" +
      "setfattr -n user.k -v v base/a/b; touch -d @1000000000.123456789 base/a base/a/b",
    { implicitDirectories: paths("a", "a/b") },
  );
  assert.equal(
    run("stat -c '%a %u %g %.9Y' layer/a layer/a/b"),
    "2750 0 0 1000000000.123456789\n1777 12 34 1000000000.123456789",
  );
  assert.equal(run("getfattr -n user.k --only-values layer/a/b"), "v");
});

test("entries below a symbolic link of a lower layer move to where it leads, inside the root", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const run = stitched(
    directory,
    "mkdir -p base/usr/lib base/x; ln -s usr/lib base/lib; ln -s /../../lib base/x/abs; touch -d @77 base base/x base/usr base/usr/lib;" +
      "mkdir -p layer/lib/deep layer/x/abs; echo 1 >layer/lib/one; echo 2 >layer/lib/deep/two; echo 3 >layer/x/abs/three",
    { implicitDirectories: paths("", "lib", "lib/deep", "x", "x/abs") },
  );
  assert.equal(run("cd layer; find . -type f | sort"), "./usr/lib/deep/two\n./usr/lib/one\n./usr/lib/three");
  assert.equal(run("test ! -e layer/lib && stat -c %Y layer layer/usr layer/usr/lib layer/x"), "77\n77\n77\n77");
});

test("an entry below what is a file in a lower layer is refused by name", async () => {
  await using directory = temporaryDirectory();
  assert.throws(
    () => stitched(directory, "echo >base/f; mkdir layer/f; echo >layer/f/x", { implicitDirectories: paths("f") }),
    (error) => error instanceof IntegrityError && error.code === "ERR_LAYER_PATH" && error.message.includes('"f"'),
  );
});

test("a symbolic link of a lower layer that leads in circles is refused", async () => {
  await using directory = temporaryDirectory();
  assert.throws(
    () => stitched(directory, "ln -s b base/a; ln -s a base/b; mkdir layer/a", { implicitDirectories: paths("a") }),
    /circles/,
  );
});

test("a hard link to a file of a lower layer copies it up with its metadata, and both names are one file", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const run = stitched(
    directory,
    "mkdir -p base/d layer/n; printf data >base/d/f; chown 5:6 base/d/f; chmod 4711 base/d/f; touch -d @55.5 base/d/f; touch -d @66 base/d layer/n",
    { pendingLinks: [{ path: "n/link" as LayerPath, target: "d/f" as LayerPath }] },
  );
  assert.equal(run("stat -c '%a %u %g %h %.1Y' layer/d/f"), "4711 5 6 2 55.5");
  assert.equal(run("stat -c %i layer/d/f layer/n/link | uniq | wc -l; cat layer/n/link"), "1\ndata");
  assert.equal(run("stat -c %Y layer/d layer/n; stat -c %h base/d/f"), "66\n66\n1");
});

test("a sparse file that is copied up for a hard link keeps its holes, and only those", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const run = stitched(directory, "mkdir base/d; truncate -s 64M base/d/f; printf end >>base/d/f", {
    pendingLinks: [{ path: "link" as LayerPath, target: "d/f" as LayerPath }],
  });
  assert.equal(run("tail -c 4 layer/d/f | tr '\\0' 0; echo; stat -c %s layer/link"), "0end\n67108867");
  assert.ok(Number(run("stat -c %b layer/link")) < 64, "the holes are filled");
});

test("a hard link to nothing, or to a directory, is refused by name", async () => {
  for (const target of ["gone", "dir"]) {
    await using directory = temporaryDirectory();
    const pendingLinks = [{ path: "link" as LayerPath, target: target as LayerPath }];
    assert.throws(
      () => stitched(directory, "mkdir base/dir", { pendingLinks }),
      (error) => error instanceof IntegrityError && error.code === "ERR_LAYER_LINK" && error.message.includes(target),
    );
  }
});

test("a root that hides everything whites out what is below and makes its own directories opaque", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const run = stitched(directory, "mkdir base/d layer/d; touch base/f base/g layer/g layer/own", { opaqueRoot: true });
  assert.equal(run("stat -c '%n %F %t:%T' layer/f"), "layer/f character special file 0:0");
  assert.equal(run("getfattr -n trusted.overlay.opaque --only-values layer/d"), "y");
  assert.equal(run("ls layer | tr '\\n' ' '"), "d f g own");
});

test("a whiteout goes again where the layers below have no directory, and its directory keeps its time", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const run = stitched(
    directory,
    "mkdir -p base/merged base/x layer/merged layer/own layer/x; touch base/file; mkdir layer/file; rmdir base/x; ln -s merged base/x;" +
      "for d in merged own file x; do mknod layer/$d/gone c 0 0; done; touch -d @99 layer/own layer/merged",
    { whiteouts: paths("merged/gone", "own/gone", "file/gone", "x/gone") },
  );
  assert.equal(run("cd layer; find . -name gone"), "./merged/gone");
  assert.equal(run("stat -c %Y layer/own layer/merged"), "99\n99");
});

test("a layer is self-contained only if nothing in it depends on the layers below", () => {
  assert.equal(isSelfContained({ ...UNPACKED, unsettled: 0 }), true);
  assert.equal(isSelfContained({ ...UNPACKED, unsettled: 1 }), false);
  assert.equal(isSelfContained({ ...UNPACKED, unsettled: 0, opaqueRoot: true }), false);
});
