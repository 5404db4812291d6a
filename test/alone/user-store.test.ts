/** A user without any privilege has a store of his own: what he imports, changes and commits is what root would. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { archiveOf, ociFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { device, directory, file, hardlink, pax, symlink, tar } from "../helpers/tar-builder.ts";

const timeout = 180_000;
const NOBODY = 65534;
const CAPABILITY = Buffer.from("0100000200040000000000000000000000000000", "hex");

/** All that takes root to unpack, in two layers of which the upper takes some from the lower. */
const BASE = tar(
  directory("./", { mode: 0o755 }),
  directory("bin/", { mode: 0o755 }),
  file("bin/su", "su", { mode: 0o4755, uid: 0, gid: 7 }),
  pax({ "SCHILY.xattr.security.capability": CAPABILITY, "SCHILY.xattr.user.name": "value" }),
  file("bin/ping", "ping", { mode: 0o755 }),
  directory("dev/", { mode: 0o755 }),
  device("dev/null", "3", 1, 3),
  device("dev/disk", "4", 8, 0),
  directory("home/", { mode: 0o1777 }),
  directory("home/u/", { mode: 0o700, uid: 1000, gid: 1000 }),
  file("home/u/secret", "secret", { mode: 0o400, uid: 1000, gid: 1000 }),
  hardlink("home/u/link", "home/u/secret"),
  directory("gone/"),
  file("gone/x", "x"),
  directory("old/", { mode: 0o750, gid: 3 }),
  file("old/below", "below"),
  symlink("usrbin", "bin"),
);
const TOP = tar(
  file(".wh.gone"),
  file("old/.wh..wh..opq"),
  file("old/above", "above", { uid: 5 }),
  file("home/u/more", "more", { uid: 1000, gid: 1000 }), // its directory is the lower one
  file("usrbin/ls", "ls", { mode: 0o755 }),
  hardlink("bin/su2", "bin/su"),
);

function asUser(cwd: string, script: string): { status: number | null; stdout: string; stderr: string } {
  const mounted = `mknod fuse c 10 229 && chmod 666 fuse && mount --bind fuse /dev/fuse &&
    exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups env HOME="$PWD/home" sh -ec "$1" "$0"`;
  const env = { PATH: process.env.PATH, LC_ALL: "C" };
  const options = { cwd, env, encoding: "utf8", timeout, killSignal: "SIGKILL" } as const;
  return spawnSync("unshare", ["-m", "sh", "-c", mounted, LAYERCTL, script], options);
}

test("a user imports, exports, mounts, diffs and commits, and it is byte for byte what root gets", {
  skip: requires("root", "fuse", "program:fusermount3", "program:setpriv"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  chmodSync(store.path, 0o755);
  mkdirSync(join(store.path, "home"));
  chownSync(join(store.path, "home"), NOBODY, NOBODY);
  const image = join(store.path, "image.tar");
  writeFileSync(image, archiveOf(ociFiles([{ layers: [BASE, TOP], reference: "here:1" }])));
  const change = `echo new >"$tree/bin/new"; rm "$tree/old/above"; mkdir "$tree/old/sub"; chmod 4711 "$tree/bin/su"
    mv "$tree/dev/null" "$tree/dev/zero"; echo more >>"$tree/bin/ping"; mkfifo "$tree/pipe"; ln -s a "$tree/l"
    ln "$tree/bin/new" "$tree/hard"; touch -h -d @1 "$tree/bin/new" "$tree/l" "$tree/pipe" "$tree/old/sub"
    touch -d @1 "$tree/bin" "$tree/dev" "$tree/old" "$tree/bin/ping" "$tree/"; "$0" diff w >&2; "$0" commit w mine:1 >/dev/null`;
  const user = asUser(
    store.path,
    `"$0" import image.tar 2>&1
    tree=$("$0" mount here:1 --name w 2>/dev/null); stat -c "%n %u:%g %a %F" "$tree/bin/su" "$tree/dev/null" "$tree/home/u" >&2
    ${change}; "$0" umount w; "$0" mount w >/dev/null 2>&1; cat "$tree/bin/new"; "$0" umount w
    "$0" fsck --deep; "$0" export here:1 -o home/here.tar; "$0" export mine:1 -o home/mine.tar; "$0" rm w; "$0" gc`,
  );
  assert.equal(user.status, 0, user.stderr + user.stdout);
  assert.match(user.stdout, /\nnew\nchecked 7 blobs, 2 layers, 2 images, 1 snapshots: sound\nw\nfreed/);
  assert.match(user.stderr, /bin\/su 65534:7 4755 regular file\n.*dev\/null 65534:65534 644 character special file\n/);
  assert.match(user.stderr, /home\/u 1000:1000 700 directory/);
  store.ok("import", image);
  const script = `tree=$("$0" --root "$1" mount here:1 --name w --backend fuse); ${change.replaceAll('"$0"', '"$0" --root "$1"')}`;
  const root = spawnSync("sh", ["-ec", script, LAYERCTL, store.root], { encoding: "utf8", timeout });
  assert.equal(root.status, 0, root.stderr);
  assert.deepEqual(root.stderr.split("\n"), user.stderr.split("\n").slice(3));
  for (const name of ["here", "mine"]) {
    store.ok("export", `${name}:1`, "-o", join(store.path, `${name}.tar`));
    const { stdout } = spawnSync("cmp", [`${name}.tar`, `home/${name}.tar`], { cwd: store.path, encoding: "utf8" });
    assert.equal(stdout, "", name);
  }
});

test("root of a namespace of his own (unshare -Urm) has the same store, and mounts without fusermount3", {
  skip: requires("root", "fuse", "user-namespace", "program:setpriv"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  chmodSync(store.path, 0o755);
  mkdirSync(join(store.path, "home"));
  chownSync(join(store.path, "home"), NOBODY, NOBODY);
  writeFileSync(join(store.path, "image.tar"), archiveOf(ociFiles([{ layers: [BASE, TOP], reference: "here:1" }])));
  const script = `"$0" import image.tar >/dev/null; tree=$("$0" mount here:1 --name w 2>/dev/null)
    stat -c "%u:%g %a" "$tree/bin/su" "$tree/bin/ping"; echo x >"$tree/bin/new"; chown 0:0 "$tree/bin/new"; rm "$tree/bin/ping"
    "$0" umount w; "$0" diff w; ls home/.local/share`;
  const { status, stdout, stderr } = asUser(store.path, `exec unshare -Urm sh -ec '${script}' "$0"`);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "0:65534 4755\n0:0 755\nC /bin\nA /bin/new\nD /bin/ping\nlayerctl\n");
});
