/** The transport fuse-native as a process: what it mounts and how it ends. What the tree does is in test/conformance. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { mountFuse } from "../helpers/fuse-mount.ts";
import { killServerOf } from "../helpers/fuse-server.ts";
import { LAYERCTL, runLayerctl } from "../helpers/layerctl.ts";
import { mountsBelow } from "../helpers/leftovers.ts";
import { requires } from "../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../helpers/temporary.ts";
import { writeScene } from "../helpers/union-scene.ts";

const timeout = 60_000;
const CHECKOUT = dirname(dirname(LAYERCTL));
const THROWING_SERVER = fileURLToPath(new URL("../helpers/throwing-server.ts", import.meta.url));
const skip = requires("root", "fuse", "fuse-native");

interface Place extends TemporaryDirectory {
  readonly target: string;
  readonly options: string;
}

/** Layers, and where they are to be mounted; nothing stays mounted there. */
function place(): Place {
  const directory = temporaryDirectory();
  const target = directory.host("mnt");
  mkdirSync(target);
  return {
    ...directory,
    target,
    options: writeScene(directory, ["a=1 d/b=2", "c=3"]),
    async [Symbol.asyncDispose]() {
      for (const mount of mountsBelow(target)) spawnSync("umount", ["-i", "-l", mount]);
      await directory[Symbol.asyncDispose]();
    },
  };
}

function fuse({ options, target }: Place, ...more: readonly string[]) {
  return runLayerctl(["fuse", "--transport", "fuse-native", ...more, "-o", options, target]);
}

async function untilUnmounted(target: string): Promise<void> {
  for (const end = Date.now() + 10_000; mountsBelow(target).length > 0 && Date.now() < end; ) await sleep(20);
  assert.deepEqual(mountsBelow(target), []);
}

test("it goes into the background when the mount is live, counts, and ends when it is unmounted", {
  skip,
  timeout,
}, async () => {
  await using scene = place();
  const { exitCode, stderr } = fuse(scene);
  assert.deepEqual([exitCode, stderr], [0, ""]);
  const row = readFileSync("/proc/self/mountinfo", "latin1")
    .split("\n")
    .find((line) => line.includes(scene.target));
  assert.match(row ?? "", / - fuse\.layerctl-fuse layerctl rw,.*default_permissions,allow_other/);
  writeFileSync(join(scene.target, "d", "new"), "4");
  const { mounts } = JSON.parse(runLayerctl(["mounts", "--stats", "--json"]).stdout.toString()) as {
    mounts: { target: string; statistics: { requests: Record<string, number> } }[];
  };
  const requests = mounts.find(({ target }) => target === scene.target)?.statistics.requests;
  assert.ok((requests?.getattr ?? 0) > 1 && requests?.create === 1, JSON.stringify(requests));
  assert.equal(spawnSync("umount", [scene.target]).status, 0);
  const again = fuse(scene); // the first server has let go of the workdir
  assert.deepEqual([again.exitCode, again.stderr], [0, ""]);
  assert.equal(readFileSync(join(scene.target, "d", "new"), "utf8"), "4");
});

test("it serves mount(8), and the option of a mount is that of the command", { skip, timeout }, async () => {
  await using scene = place();
  const { status, stderr } = spawnSync(
    join(dirname(LAYERCTL), "layerctl-fuse"),
    ["overlay", scene.target, "-o", `rw,${scene.options},transport=fuse-native`],
    { encoding: "utf8" },
  );
  assert.equal(status, 0, stderr);
  assert.equal(readFileSync(join(scene.target, "c"), "utf8"), "3");
});

test("SIGTERM unmounts, at once from a tree that is in use, and the server ends with its last user", {
  skip,
  timeout,
}, async () => {
  await using scene = place();
  await using mount = await mountFuse(`${scene.options},transport=fuse-native`, scene.target);
  const user = spawn("sh", ["-c", "exec 3<>a && echo open && read line && echo more >&3 && cat a"], {
    cwd: scene.target,
  });
  await once(user.stdout, "data");
  mount.server.kill("SIGTERM");
  await untilUnmounted(scene.target);
  let said = "";
  user.stdout.on("data", (chunk) => (said += chunk));
  user.stdin.end("\n");
  await Promise.all([once(user, "close"), once(mount.server, "exit")]);
  assert.deepEqual([said, mount.server.exitCode], ["more\n", 0]);
});

test("what a killed server has left mounted the next one takes away, and nothing is lost", {
  skip,
  timeout,
}, async () => {
  await using scene = place();
  assert.equal(fuse(scene).exitCode, 0);
  writeFileSync(join(scene.target, "d", "b"), "changed");
  await killServerOf(scene.host("work"));
  const { exitCode, stderr } = fuse(scene);
  assert.deepEqual([exitCode, stderr], [0, ""]);
  assert.equal(mountsBelow(scene.target).length, 1);
  assert.equal(readFileSync(join(scene.target, "d", "b"), "utf8"), "changed");
});

test("mounted over the directory that all of it lies in, it does not wait for itself", { skip, timeout }, async () => {
  await using scene = place();
  await using mount = await mountFuse(`${scene.options},transport=fuse-native`, scene.host());
  mount.sh("chmod 600 a && rm d/b && mkdir e && mv c e && ln a f");
  assert.equal(mount.sh("find . -type f | sort"), "./a\n./e/c\n./f");
  await mount.unmount();
});

test("both times of a file are set to the millisecond, also before 1970, where they show as the beginning of that year", {
  skip: skip || requires("program:python3"),
  timeout,
}, async () => {
  await using scene = place();
  await using mount = await mountFuse(`${scene.options},transport=fuse-native`, scene.target);
  const set = "import os, sys; os.utime('a', ns=(int(sys.argv[1]), int(sys.argv[2])))";
  const times = (atime: string, mtime: string) =>
    mount.sh(`python3 -c "${set}" ${atime} ${mtime} && stat -c '%.3X %.3Y' a`);
  assert.equal(times("1000000000125000000", "1100000000250000000"), "1000000000.125 1100000000.250");
  assert.equal(times("-1500000000", "-2500000000"), "0.000 0.000");
  const { atimeMs, mtimeMs } = statSync(scene.host("upper", "a"));
  assert.deepEqual([atimeMs, mtimeMs], [-1500, -2500]);
});

test("a name that is no UTF-8 is not listed, and a line of the log says so", { skip, timeout }, async () => {
  await using scene = place();
  spawnSync("sh", ["-c", 'touch "$(printf "odd\\377")"'], { cwd: scene.host("layer0", "d") });
  await using mount = await mountFuse(`${scene.options},transport=fuse-native`, scene.target);
  let log = "";
  mount.server.stderr?.on("data", (chunk) => (log += chunk));
  assert.equal(mount.sh("ls d"), "b");
  await mount.unmount();
  assert.match(log, /warn: fuse\.name\.skipped name="?odd\\+xff/);
});

test("the root of a user namespace mounts with it", {
  skip: skip || requires("user-namespace"),
  timeout,
}, async () => {
  await using scene = place();
  const script = `"$0" fuse --transport fuse-native -o "$1" "$2" && echo 5 >"$2/c" && rm "$2/a" && cat "$2/c" && umount "$2"`;
  const args = ["-Urm", "sh", "-c", script, LAYERCTL, scene.options, scene.target];
  const { status, stdout, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  assert.deepEqual([status, stdout], [0, "5\n"], stderr);
});

test("an operation that throws what is no errno fails with EIO, and so does an answer that the addon refuses; the next ones are answered", {
  skip,
  timeout,
}, async () => {
  await using scene = place();
  const server = spawn(process.execPath, [THROWING_SERVER, scene.target], { stdio: ["ignore", "inherit", "pipe"] });
  let log = "";
  server.stderr.on("data", (chunk) => (log += chunk));
  try {
    while (mountsBelow(scene.target).length === 0 && server.exitCode === null) await sleep(20);
    const user = spawn("sh", ["-c", "cat throws odd; test -f file && echo there"], { cwd: scene.target });
    let said = "";
    user.stderr.on("data", (chunk) => (said += chunk));
    const [there] = (await once(user.stdout, "data")) as [Buffer];
    assert.equal(there.toString(), "there\n");
    assert.equal(said.match(/Input\/output error/g)?.length, 2, said);
    assert.match(log, /^getattr: TypeError: no words\ngetattr: .*\n$/);
  } finally {
    spawnSync("umount", ["-l", scene.target]);
    server.kill("SIGKILL");
  }
});

test("without the package it says how to install it, and where", {
  skip: requires("root", "fuse"),
  timeout,
}, async () => {
  await using scene = place();
  const project = scene.host("project");
  const modules = join(project, "node_modules");
  mkdirSync(join(modules, "layerctl"), { recursive: true });
  for (const name of ["dist", "package.json"]) {
    cpSync(join(CHECKOUT, name), join(modules, "layerctl", name), { recursive: true });
  }
  for (const name of ["koffi", "@koromix"]) symlinkSync(join(CHECKOUT, "node_modules", name), join(modules, name));
  const args = ["fuse", "--transport", "fuse-native", "-o", scene.options, scene.target];
  const run = () =>
    spawnSync(process.execPath, [join(modules, "layerctl", "dist", "cli.cjs"), ...args], { encoding: "utf8" });
  const { status, stderr } = run();
  assert.equal(status, 6, stderr);
  assert.match(
    stderr,
    /fuse-native": the package is not installed; run "npm install --ignore-scripts fuse-native" in "(.*)" /,
  );
  assert.ok(stderr.includes(`in "${project}"`), stderr);
  assert.deepEqual(mountsBelow(scene.target), []);
  rmSync(modules, { recursive: true });
});

test("without libfuse 2 it says what to install", { skip, timeout }, async () => {
  await using scene = place();
  // In a mount namespace of its own, where the library is hidden by a whiteout.
  const script = `library=$(/sbin/ldconfig -p | sed -n 's/.*libfuse\\.so\\.2 .*=> //p' | head -n 1)
    directory=$(dirname "$(readlink -f "$library")") && mkdir "$2/none" && cd "$2/none" &&
    for name in "$directory"/libfuse.so.2*; do mknod "\${name##*/}" c 0 0 || exit; done &&
    mount -t overlay overlay -o "lowerdir=$2/none:$directory" "$directory" &&
    "$0" fuse --transport fuse-native -o "$1" "$2/mnt"`;
  const args = ["-m", "sh", "-c", script, LAYERCTL, scene.options, scene.host()];
  const { status, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  assert.equal(status, 6, stderr);
  assert.match(
    stderr,
    /the package does not load \(libfuse\.so\.2: .*\); install libfuse 2 \(apt-get install libfuse2\)/,
  );
});

test("where libfuse does not mount the command says so, and ends", { skip, timeout }, async () => {
  await using scene = place();
  const script = 'mount --bind /dev/null /dev/fuse && "$0" fuse --transport fuse-native -o "$1" "$2"';
  const args = ["-m", "sh", "-c", script, LAYERCTL, scene.options, scene.target];
  const { status, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  assert.deepEqual([status, stderr.split(": ").at(-1)?.slice(0, 19)], [6, "libfuse refused it,"], stderr);
});

test("a path that it cannot pass on is refused with the reason", { skip, timeout }, async () => {
  await using scene = place();
  const long = fuse({ ...scene, options: `${scene.options},fsname=${"x".repeat(1000)}` });
  assert.equal(long.exitCode, 6);
  assert.match(long.stderr, /no more than 1023 bytes of path and of options/);
  const script =
    'target="$2$(printf "\\377")" && mkdir "$target" && "$0" fuse --transport fuse-native -o "$1" "$target"';
  const notText = spawnSync("sh", ["-c", script, LAYERCTL, scene.options, scene.target], { encoding: "utf8" });
  assert.equal(notText.status, 6);
  assert.match(notText.stderr, /mnt\\xff" to fuse-native: it is not UTF-8; use transport "device"/);
});
