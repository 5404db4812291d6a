/** `layerctl fuse` and `layerctl-fuse`, as people, mount(8) and container engines call them, with root and without. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { mountsBelow } from "../helpers/leftovers.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";

const LAYERCTL_FUSE = join(dirname(LAYERCTL), "layerctl-fuse");
const timeout = 120_000;
const NOBODY = 65534;

/** A directory with two layers, one on the other, and what a mount needs. */
function layersIn(directory: string): void {
  for (const name of ["base", "top", "upper", "work", "mnt"]) mkdirSync(join(directory, name));
  for (const name of ["a", "b"]) writeFileSync(join(directory, "base", name), `${name}\n`);
  for (const name of [".wh.b", "c"]) writeFileSync(join(directory, "top", name), "");
}

function run(cwd: string, program: string, args: readonly string[]) {
  return spawnSync(program, args, { cwd, encoding: "utf8", timeout, killSignal: "SIGKILL" });
}

test("it mounts as containers-storage calls a mount_program: relative layers, AUFS whiteouts, a mapping with a leading colon", {
  skip: requires("root", "fuse"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  layersIn(store.path);
  const options =
    "lowerdir=top:base,upperdir=upper,workdir=work,,volatile,uidmapping=:0:1000:10,gidmapping=:0:1000:10,lazytime";
  const { status, stderr } = run(store.path, LAYERCTL_FUSE, ["-o", options, join(store.path, "mnt")]);
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "layerctl: unknown argument ignored: lazytime\n");
  assert.equal(run(store.path, "stat", ["-f", "-c", "%t", "mnt"]).stdout, "65735546\n", "a FUSE superblock");
  assert.deepEqual(readdirSync(join(store.path, "mnt")).sort(), ["a", "c"]);
  assert.equal(run(store.path, "stat", ["-c", "%u:%g", "mnt/a"]).stdout, "1000:1000\n");
  assert.equal(run(store.path, "fusermount3", ["-u", "mnt"]).status, 0);
  assert.deepEqual(mountsBelow(store.path), []);
});

test("it is a file system of mount(8): a source before the target, and the options behind", {
  skip: requires("root", "fuse", "program:mount.fuse3"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  layersIn(store.path);
  const options = `lowerdir=${store.path}/top:${store.path}/base`;
  const { status, stderr } = run(store.path, "mount", [
    "-t",
    "fuse3",
    `${LAYERCTL_FUSE}#overlay`,
    "mnt",
    "-o",
    options,
  ]);
  assert.equal(status, 0, stderr);
  assert.deepEqual(readdirSync(join(store.path, "mnt")).sort(), ["a", "c"]);
});

test("--version names the version and the protocol, also through a symbolic link", { timeout }, async () => {
  await using store = temporaryStore();
  symlinkSync(LAYERCTL_FUSE, join(store.path, "link"));
  const { stdout } = run(store.path, "./link", ["--version"]);
  assert.match(stdout, /^layerctl-fuse: version \d+\.\d+\.\d+\nFUSE protocol version 7\.45\n$/);
});

test("a layer that is unmounted from its place afterwards is still read, its attributes too", {
  skip: requires("root", "fuse"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  layersIn(store.path);
  mkdirSync(join(store.path, "bound"));
  assert.equal(run(store.path, "mount", ["--bind", "base", "bound"]).status, 0);
  const { status, stderr } = run(store.path, LAYERCTL_FUSE, [
    "-o",
    "lowerdir=bound,upperdir=upper,workdir=work",
    "mnt",
  ]);
  assert.equal(status, 0, stderr);
  assert.equal(run(store.path, "umount", ["-l", "bound"]).status, 0);
  appendFileSync(join(store.path, "mnt", "a"), "more\n");
  assert.equal(readFileSync(join(store.path, "upper", "a"), "utf8"), "a\nmore\n");
});

test("in front it logs what was counted at SIGUSR1, and unmounts at SIGTERM", {
  skip: requires("root", "fuse"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  layersIn(store.path);
  const server = spawn(LAYERCTL_FUSE, ["-f", "-o", "lowerdir=base", "mnt"], { cwd: store.path });
  let log = "";
  server.stderr.on("data", (chunk) => (log += chunk));
  try {
    while (mountsBelow(store.path).length === 0) await sleep(20);
    while (readdirSync(join(store.path, "mnt")).length === 0) await sleep(20);
    server.kill("SIGUSR1");
    while (!log.includes("\n")) await sleep(20);
    assert.match(log, /^layerctl: warn: fuse\.statistics requests=.*knownInodes=\d/);
  } finally {
    server.kill("SIGTERM");
  }
  await once(server, "exit");
  assert.deepEqual(mountsBelow(store.path), []);
});

test("mounts --stats tells what the servers have counted, of snapshots and of other mounts", {
  skip: requires("root", "fuse"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  layersIn(store.path);
  writeFileSync(join(store.path, "root.tar"), tar(file("f", "content")));
  store.ok("import", join(store.path, "root.tar"), "--rootfs", "--name", "here:1");
  const target = store.mount("here:1", "--name", "work", "--backend", "fuse");
  assert.equal(readFileSync(join(target, "f"), "utf8"), "content");
  const other = join(store.path, "mnt");
  store.ok("fuse", "-o", `lowerdir=${store.path}/base`, other);
  const all = JSON.parse(store.ok("mounts", "--stats", "--json")) as {
    mounts: { target: string; snapshot: string | null; statistics: { requests: Record<string, number> } }[];
  };
  const mounts = all.mounts.filter((mount) => mount.target.startsWith(store.path));
  assert.deepEqual(
    mounts.map((mount) => [mount.target, mount.snapshot]),
    [
      [target, "work"],
      [other, null],
    ],
  );
  assert.ok((mounts[0]?.statistics.requests.lookup ?? 0) >= 1);
  assert.match(store.ok("mounts", "--stats"), /\(work\), since .*\n {2}requests +\d+, .*lookup \d/);
  const { checks } = JSON.parse(store.ok("info", "--json")) as { checks: { name: string; works: boolean }[] };
  assert.equal(checks.find(({ name }) => name === "FUSE mount")?.works, true);
});

test("the root of a user namespace mounts too, and its changes are marked in the user namespace", {
  skip: requires("user-namespace", "fuse"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  layersIn(store.path);
  mkdirSync(join(store.path, "base", "d"));
  const script = `"$0" -o lowerdir=base,upperdir=upper,workdir=work mnt && echo more >>mnt/a && rm -r mnt/b mnt/d &&
    mkdir mnt/d && cat mnt/a && umount mnt && stat -c %t:%T upper/b && getfattr --only-values -n user.overlay.opaque upper/d`;
  const { status, stdout, stderr } = run(store.path, "unshare", ["-Urm", "sh", "-c", script, LAYERCTL_FUSE]);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "a\nmore\n0:0\ny");
});

test("a user without any privilege mounts through fusermount3, and unmounts", {
  skip: requires("root", "fuse", "program:fusermount3", "program:setpriv"),
  timeout,
}, async () => {
  await using store = temporaryStore();
  layersIn(store.path);
  chmodSync(store.path, 0o755);
  for (const name of ["base", "top", "upper", "work", "mnt", "base/a", "base/b"]) {
    chownSync(join(store.path, name), NOBODY, NOBODY);
  }
  // In a mount namespace of its own, so that /dev/fuse is for everybody whatever it is outside.
  const user = `set -e; "$0" -o lowerdir=base,upperdir=upper,workdir=work,fsname='a\\,b' mnt
    echo more >>mnt/a; rm mnt/b; cat mnt/a; truncate -s 3 mnt/a; cat mnt/a; : >mnt/a; grep ' - fuse.layerctl-fuse a,b ' /proc/self/mountinfo >/dev/null
    fusermount3 -u mnt
    "$0" -f -o lowerdir=base,upperdir=upper,workdir=work mnt & server=$!
    until [ -e mnt/a ]; do sleep 0.1; done; echo new >mnt/new; kill $server; wait $server || true; cat upper/new
    grep " $PWD/mnt " /proc/self/mountinfo || echo unmounted`;
  const script = `mknod fuse c 10 229 && chmod 666 fuse && mount --bind fuse /dev/fuse &&
    HOME=/nonexistent exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups sh -c "$1" "$0"`;
  const { status, stdout, stderr } = run(store.path, "unshare", ["-m", "sh", "-c", script, LAYERCTL_FUSE, user]);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "a\nmore\na\nmnew\nunmounted\n");
});
