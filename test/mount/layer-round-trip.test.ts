/**
 * A change made through a real overlayfs mount, as a layer tar, unpacked again on the same lower layers: the mount then
 * shows the same tree, whatever features of overlayfs made the change.
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, statSync, writeSync } from "node:fs";
import { test } from "node:test";
import { DEFAULT_LIMITS } from "../../layers/apply/limits.ts";
import { unpackLayer } from "../../layers/apply/unpack-layer.ts";
import { BlockCompressor, type Compression } from "../../layers/commit/compress.ts";
import type { LayerDiff } from "../../layers/diff/change.ts";
import { writeLayerTar } from "../../layers/diff/layer-tar.ts";
import { diffTrees } from "../../layers/diff/tree-diff.ts";
import { diffUpper } from "../../layers/diff/upper-diff.ts";
import { mountOverlay } from "../../src/mount/kernel-overlay.ts";
import { type OverlayOptions, parseOverlayOptions } from "../../src/mount/overlay-options.ts";
import { IndexedTree } from "../../src/overlay/indexed-tree.ts";
import { NATIVE } from "../../src/overlay/layer-form.ts";
import { MergedTree } from "../../src/overlay/merged-tree.ts";
import { display, type HostPath } from "../../src/paths.ts";
import { umount } from "../../src/sys/mount.ts";
import { differences, listTree } from "../helpers/compare.ts";
import { requires } from "../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../helpers/temporary.ts";

const skip = requires("root", "program:setfacl", "program:setcap", "program:getfattr");

function shell(cwd: string, script: string): void {
  execFileSync("/bin/bash", ["-e", "-c", script], { cwd, stdio: ["ignore", "ignore", "inherit"] });
}

/** Two lower layers with something of everything; times are fixed so that copies can be equal. */
const BASE = `
  mkdir -p usr/bin usr/lib/deep/er etc var/log empty opt/app/data tmp; chmod 1777 tmp; chown 7:8 opt/app
  for f in usr/bin/a usr/bin/b usr/lib/x usr/lib/deep/y usr/lib/deep/er/z etc/passwd etc/hosts var/log/m opt/app/data/1; do
    echo "$f" > $f; done
  printf binary > $'usr/lib/na\\xffme'; ln usr/bin/a usr/bin/a2; ln usr/bin/a usr/bin/a3; ln -s a usr/bin/l
  cp usr/bin/a usr/bin/suid; chown 3:4 usr/bin/suid; chmod 4755 usr/bin/suid; setcap cap_net_raw+ep usr/bin/b
  setfattr -n user.note -v 0x00ff0a etc/passwd; setfacl -m u:5:rw,g:6:r etc/hosts; setfacl -d -m u:9:rwx opt/app
  truncate -s 1M opt/app/sparse; echo end >> opt/app/sparse; mkfifo tmp/pipe; mknod tmp/dev c 5 6
  find . -exec touch -h -d @1700000000.123456789 {} +`;
const UPPER_LOWER = `mkdir -p etc usr/lib/deep; echo second > etc/second; echo y2 > usr/lib/deep/y; touch -d @1700000001 etc/second`;

/** Changes of every kind, by what a user does in the mount. */
const CHANGES: Readonly<Record<string, string>> = {
  "new files": "mkdir -p new/dir; echo 1 > new/dir/f; echo 2 > etc/g; mkfifo new/p; mknod new/b b 7 8; ln -s x new/l",
  "changed content": "echo more >> etc/passwd; echo x > usr/lib/deep/y; echo three > usr/bin/a",
  deletions: "rm usr/bin/b etc/second; rm -r var; rm -r usr/lib/deep/er",
  "a directory made again": "rm -r usr/lib; mkdir usr/lib; echo n > usr/lib/x; mkdir usr/lib/deep",
  "a directory made again and filled as it was": "cp -a usr/lib /tmp/lc-rt-$$; rm -r usr/lib; mv /tmp/lc-rt-$$ usr/lib",
  "a directory in place of a file and the other way round":
    "rm etc/passwd; mkdir etc/passwd; rm -r empty; echo f > empty",
  "renamed files": "mv etc/passwd etc/passwd2; mv usr/bin/suid opt/app/suid; mv usr/bin/l usr/bin/l2",
  "a renamed directory": "mv usr/lib usr/lib2; echo n > usr/lib2/n; rm usr/lib2/x; chmod 700 usr/lib2/deep",
  "a directory renamed twice and into a new one":
    "mkdir -p n/n; mv usr/lib n/n/lib; mv n/n/lib/deep n/deep; mv n/n n/m; mkdir usr/lib; echo x > usr/lib/x",
  "two directories that change places": "mv usr/bin t; mv usr/lib usr/bin; mv t usr/lib; rm usr/lib/a2",
  "a directory moved away and back": "mv opt/app opt/b; mv opt/b opt/app; echo x > opt/app/new",
  metadata: "chmod 4711 usr/bin/a; chown 11:12 etc/passwd opt/app/sparse; touch -d @5.000000005 usr/lib/x etc",
  "metadata, then a rename": "chmod 600 usr/lib/x; mv usr/lib/x etc/x; chmod 640 opt/app/sparse; mv opt/app/sparse s",
  attributes: `setfattr -n user.a -v b etc/passwd; setfattr -x user.note etc/passwd; setcap cap_chown+ep usr/bin/suid
    setfacl -b etc/hosts; setfacl -m u:77:r usr/lib/x; setfattr -n trusted.t -v 1 usr`,
  "hard links":
    "ln usr/lib/x usr/lib/hard; ln etc/passwd etc/link; echo c >> etc/link; echo q > f1; ln f1 f2; rm f1; ln f2 f3",
  "a hard link of the lower layer, broken": "echo changed >> usr/bin/a2",
  "a hard link of the lower layer, one more": "ln usr/bin/a3 usr/bin/a4; rm usr/bin/a",
  "names that are not UTF-8": "mv $'usr/lib/na\\xffme' $'etc/\\xfe\\xff'; mkdir $'d\\x80'; echo 1 > $'d\\x80/\\n'",
  "sparse files":
    "truncate -s 3M holes; echo mid | dd of=holes bs=1M seek=1 conv=notrunc status=none; truncate -s 1M all",
  "files that were only opened for writing":
    "exec 3<>etc/passwd 4<>opt/app/sparse; exec 3>&- 4>&-; chmod 644 usr/lib/x",
  "the root": "chmod 750 .; chown 1:2 .",
};

interface Stack {
  readonly directory: TemporaryDirectory;
  readonly lowerdirs: readonly HostPath[];
}

function makeStack(directory: TemporaryDirectory): Stack {
  for (const name of ["base", "second", "upper", "work", "merged", "again"]) mkdirSync(directory.host(name));
  shell(directory.host("base"), BASE);
  shell(directory.host("second"), UPPER_LOWER);
  return { directory, lowerdirs: [directory.host("second"), directory.host("base")] };
}

function change(stack: Stack, options: OverlayOptions, script: string): ReturnType<typeof listTree> {
  const { directory, lowerdirs } = stack;
  const target = directory.host("merged");
  const [upperdir, workdir] = [directory.host("upper"), directory.host("work")];
  mountOverlay({ lowerdirs, upperdir, workdir, target, readOnly: false, options });
  try {
    shell(target, script);
    return listTree(target);
  } finally {
    umount(target);
  }
}

function diffOf({ directory, lowerdirs }: Stack): LayerDiff {
  const upperdir = directory.host("upper");
  return diffUpper({ upperdir, lower: new MergedTree(lowerdirs), merged: mergedTree(directory, lowerdirs) });
}

function mergedTree(directory: TemporaryDirectory, lowerdirs: readonly HostPath[]): MergedTree {
  const directories = [directory.host("upper"), ...lowerdirs];
  const indexdir = directory.host("work", "index");
  return existsSync(indexdir) ? new IndexedTree(directories, { indexdir }) : new MergedTree(directories);
}

async function writeBlob(diff: LayerDiff, file: HostPath, compression: Compression): Promise<void> {
  const fd = openSync(file, "w");
  try {
    await using compressor = new BlockCompressor(compression, async (bytes) => void writeSync(fd, bytes));
    await writeLayerTar(diff, compressor);
    await compressor.finish();
  } finally {
    closeSync(fd);
  }
}

/** What the lower layers show with the layer on top of them. */
async function again(stack: Stack, diff: LayerDiff): Promise<ReturnType<typeof listTree>> {
  const { directory, lowerdirs } = stack;
  const [file, unpacked, target] = [directory.host("layer.tar"), directory.host("unpacked"), directory.host("again")];
  await writeBlob(diff, file, "none");
  mkdirSync(unpacked);
  const umask = process.umask(0);
  try {
    await unpackLayer(
      {
        location: { file, offset: 0, sizeBytes: statSync(file).size },
        directory: unpacked,
        unpack: true,
        keepBlob: false,
        expectedDigest: null,
        expectedSizeBytes: null,
        expectedDiffId: null,
        limits: DEFAULT_LIMITS,
        form: NATIVE,
      },
      { onBytes: () => {}, throwIfStopped: () => {} },
    );
  } finally {
    process.umask(umask);
  }
  const layers = [directory.host("unpacked", "diff"), ...lowerdirs];
  mountOverlay({ lowerdirs: layers, upperdir: null, workdir: null, target, readOnly: true, options: {} });
  try {
    return listTree(target);
  } finally {
    umount(target);
  }
}

const OPTIONS = ["", "index=on", "redirect_dir=on", "redirect_dir=on,metacopy=on,index=on"];

for (const options of OPTIONS) {
  for (const [name, script] of Object.entries(CHANGES)) {
    test(`the layer of ${name} makes the same tree (${options || "no options"})`, { skip }, async () => {
      await using directory = temporaryDirectory();
      const stack = makeStack(directory);
      const expected = change(stack, parseOverlayOptions(options), script);
      const diff = diffOf(stack);
      assert.deepEqual(diff.skipped, []);
      assert.deepEqual(differences(await again(stack, diff), expected).map(display), []);
      const trees = diffTrees(new MergedTree(stack.lowerdirs), mergedTree(directory, stack.lowerdirs));
      const plain = ({ changes }: LayerDiff): unknown => changes.map(({ kind, path, what }) => [kind, path, what]);
      assert.deepEqual(plain(diff), plain(trees), "the diff of the two trees is the same");
    });
  }
}
