/** Files into containers and out of them: docker's rules for paths, what is kept, and attempts to be led out. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { copyTree, onThisHost, type TreePath } from "../../layers/containers/copy.ts";
import { withTree } from "../../layers/containers/tree.ts";
import { Store } from "../../layers/store.ts";
import { isSystemError, LayerctlError } from "../../src/errors.ts";
import { hostPath } from "../../src/paths.ts";
import { getXattr, setXattr } from "../../src/sys/xattr.ts";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { requires } from "../helpers/requires.ts";

/** A store with a container "c" that runs `script`, and beside the store a directory "src" with some of everything. */
function scene(script = "sleep 1000", ...options: readonly string[]): ContainerStore & { readonly src: string } {
  const store = busyboxStore();
  store.ok("run", "-d", "--name", "c", ...options, "bb:1", "sh", "-c", script);
  const src = join(store.path, "src");
  mkdirSync(join(src, "deep", "er"), { recursive: true });
  writeFileSync(join(src, "file"), "content\n", { mode: 0o640 });
  utimesSync(join(src, "file"), 1_000_000, 1_000_000);
  linkSync(join(src, "file"), join(src, "second"));
  symlinkSync("/etc/passwd", join(src, "link"));
  writeFileSync(join(src, "deep", "er", "x"), "x\n");
  return { ...store, src };
}

function shell(store: ContainerStore, script: string): string {
  return store.ok("exec", "c", "sh", "-c", script);
}

function until(what: () => boolean): void {
  for (let turn = 0; !what(); turn++) if (turn > 500) throw new Error("it never came");
}

const ALL = ["deep", "deep/er", "deep/er/x", "file", "link", "second"];

function below(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
}

for (const runtime of [[], ["--runtime", "crun"]]) {
  const name = runtime[1] ?? "layerctl itself";
  const skip = needsContainers === false && runtime.length > 0 ? requires(`program:${name}`) : needsContainers;

  test(`a path means what it means to docker, in a container of ${name}`, { skip }, async () => {
    await using store = scene("mkdir /there; sleep 1000", ...runtime);
    until(() => store.run(["exec", "c", "test", "-d", "/there"]).exitCode === 0);
    const listed = (path: string): readonly string[] =>
      shell(store, `cd ${path} && find . -mindepth 1 | sort`)
        .split("\n")
        .map((line) => line.slice(2));
    store.ok("cp", join(store.src, "file"), "c:/as-named");
    assert.equal(shell(store, "cat /as-named; stat -c '%a %u:%g %Y' /as-named"), "content\n640 0:0 1000000");
    store.ok("cp", join(store.src, "deep/er/x"), "c:/as-named");
    assert.equal(shell(store, "cat /as-named"), "x");
    store.ok("cp", join(store.src, "file"), "c:there/");
    assert.deepEqual(listed("/there"), ["file"]);
    store.ok("cp", store.src, "c:/made");
    assert.deepEqual(listed("/made"), ALL);
    store.ok("cp", store.src, "c:/made");
    assert.deepEqual(listed("/made/src"), ALL);
    store.ok("cp", `${store.src}/.`, "c:/there");
    assert.deepEqual(listed("/there"), ALL);
    assert.equal(shell(store, "readlink /made/link; stat -c %h /made/file"), "/etc/passwd\n2");
    store.ok("cp", "-L", join(store.src, "link"), "c:/followed");
    assert.equal(shell(store, "head -1 /followed"), readFileSync("/etc/passwd", "utf8").split("\n")[0]);
    store.ok("cp", "c:/made", join(store.path, "out"));
    assert.deepEqual(below(join(store.path, "out")), [...ALL, ...["", ...ALL].map((path) => join("src", path))].sort());
    assert.equal(readlinkSync(join(store.path, "out", "link")), "/etc/passwd");
    assert.equal(statSync(join(store.path, "out", "file")).mtimeMs, 1_000_000_000);
    for (const [from, to, exitCode, code] of [
      [join(store.path, "nosuch"), "c:/x", 3, "ERR_COPY_NOT_FOUND"],
      ["c:/nosuch", store.path, 3, "ERR_COPY_NOT_FOUND"],
      [join(store.src, "file"), "c:/no/such/place", 3, "ERR_COPY_NOT_FOUND"],
      [join(store.src, "file"), "c:/no-directory/", 3, "ERR_COPY_NOT_FOUND"],
      [join(store.src, "file"), "c:/made/file/", 4, "ERR_COPY_TYPE"],
      [`${join(store.src, "file")}/`, "c:/x", 4, "ERR_COPY_TYPE"],
      [store.src, "c:/made/file", 4, "ERR_COPY_TYPE"],
      [join(store.src, "file"), store.path, 2, "ERR_COPY_PLACES"],
      ["c:/made", "c:/other", 2, "ERR_COPY_PLACES"],
      ["nobody:/x", store.path, 3, "ERR_SNAPSHOT_NOT_FOUND"],
    ] as const) {
      const outcome = store.run(["cp", from, to]);
      assert.equal(outcome.exitCode, exitCode, `${from} ${to}: ${outcome.stderr}`);
      assert.match(outcome.stderr, new RegExp(code), `${from} ${to}`);
    }
    store.ok("rm", "-f", "c");
    assert.deepEqual(tracesOf(store), []);
  });
}

test("a file is not put over a directory, nor a directory over a file in it", { skip: needsContainers }, async () => {
  await using store = scene("mkdir -p /target/src/file /other/src; echo >/other/src/deep; sleep 1000");
  until(() => store.run(["exec", "c", "test", "-e", "/other/src/deep"]).exitCode === 0);
  assert.match(store.run(["cp", store.src, "c:/target"]).stderr, /ERR_COPY_TYPE/);
  assert.match(store.run(["cp", store.src, "c:/other"]).stderr, /ERR_COPY_TYPE/);
});

test("-a keeps owners, set-id bits and attributes; without it set-id bits go into a container only", {
  skip: needsContainers,
}, async () => {
  await using store = scene();
  const file = join(store.src, "marked");
  writeFileSync(file, "");
  spawnSync("chown", ["1000:77", file]);
  chmodSync(file, 0o4755);
  setXattr(hostPath(file), "user.note", Buffer.from("kept"));
  store.ok("cp", "-a", store.src, "c:/kept");
  store.ok("cp", store.src, "c:/plain");
  assert.equal(shell(store, "stat -c '%a %u:%g' /kept/marked /plain/marked"), "4755 1000:77\n4755 0:0");
  store.ok("cp", "-a", "c:/kept/marked", join(store.path, "back"));
  store.ok("cp", "c:/kept/marked", join(store.path, "mine"));
  const back = lstatSync(join(store.path, "back"));
  assert.deepEqual([back.mode & 0o7777, back.uid, back.gid], [0o4755, 1000, 77]);
  assert.equal(getXattr(hostPath(join(store.path, "back")), "user.note")?.toString(), "kept");
  const mine = lstatSync(join(store.path, "mine"));
  assert.deepEqual([mine.mode & 0o7777, mine.uid, mine.gid], [0o755, 0, 0]);
  assert.equal(getXattr(hostPath(join(store.path, "mine")), "user.note"), null);
});

test("- is a tar on standard output, and on standard input", { skip: needsContainers }, async () => {
  await using store = scene();
  store.ok("cp", store.src, "c:/made");
  const { stdout } = store.run(["cp", "c:/made", "-"]);
  const list = spawnSync("tar", ["-t"], { input: stdout, encoding: "utf8" });
  assert.deepEqual(
    list.stdout
      .trim()
      .split("\n")
      .map((line) => line.replace(/\/$/, ""))
      .sort(),
    ["made", ...ALL.map((path) => `made/${path}`)].sort(),
  );
  shell(store, "mkdir /unpacked");
  assert.equal(store.run(["cp", "-", "c:/unpacked"], { input: stdout }).exitCode, 0);
  assert.equal(
    shell(store, "cd /unpacked/made; cat file deep/er/x; readlink link; stat -c %h second"),
    "content\nx\n/etc/passwd\n2",
  );
  assert.equal(store.run(["cp", "-", "c:/nosuch"], { input: stdout }).exitCode, 3);
  assert.match(store.run(["cp", "-", "c:/unpacked"], { input: stdout.subarray(0, 700) }).stderr, /ERR_TAR_TRUNCATED/);
  assert.equal(store.run(["cp", "--json", "c:/made", "-"]).exitCode, 2);
});

test("cp works on a container that is paused or has ended, in its volumes too", { skip: needsContainers }, async () => {
  const outside = { path: "" };
  await using store = busyboxStore();
  outside.path = join(store.path, "volume");
  mkdirSync(outside.path);
  writeFileSync(join(outside.path, "there"), "in the volume\n");
  const source = join(store.path, "source");
  writeFileSync(source, "new\n");
  const volumes = ["-v", `${outside.path}:/data`, "-v", `${outside.path}:/ro:ro`];
  store.ok("run", "-d", "--name", "c", ...volumes, "--read-only", "bb:1", "sleep", "1000");
  const check = (state: string): void => {
    assert.equal(
      spawnSync("tar", ["-xO"], { input: store.run(["cp", "c:/data/there", "-"]).stdout, encoding: "utf8" }).stdout,
      "in the volume\n",
      state,
    );
    store.ok("cp", source, `c:/data/${state}`);
    assert.equal(readFileSync(join(outside.path, state), "utf8"), "new\n");
    for (const place of ["/x", "/ro/x"])
      assert.match(store.run(["cp", source, `c:${place}`]).stderr, /EROFS/, `${state} ${place}`);
  };
  check("running");
  store.ok("pause", "c");
  check("paused");
  store.ok("unpause", "c");
  store.ok("stop", "-t", "0", "c");
  check("stopped");
  assert.deepEqual(tracesOf(store), []);
  store.ok("mount", "bb:1", "--name", "plain");
  store.ok("cp", source, "plain:/tmp");
  assert.match(store.ok("diff", "plain"), /A \/tmp\/source/);
});

test("no link and no .. of a container leads cp to this host", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const secret = join(store.path, "secret");
  mkdirSync(secret);
  writeFileSync(join(secret, "file"), "of the host\n");
  const up = "../../../../../../../..";
  const script = `mkdir /d; ln -s ${secret} /abs; ln -s ${up}${secret} /rel; ln -s ${secret}/file /leaf
    ln -s ${secret}/new /dangling; ln -s /proc/self/root /magic; ln -s ${secret} /d/sub; ln -s loop /loop; echo up; sleep 1000`;
  store.ok("run", "-d", "--name", "c", "--cap-add", "SYS_PTRACE", "bb:1", "sh", "-c", script);
  until(() => store.ok("logs", "c") === "up");
  const out = join(store.path, "out");
  mkdirSync(out);
  for (const path of [
    "/abs/file",
    "/rel/file",
    "/leaf/",
    `${up}${secret}/file`,
    `/magic${secret}/file`,
    `/proc/1/root/proc/1/cwd${secret}/file`,
    "/loop/",
  ]) {
    const { exitCode, stderr } = store.run(["cp", "-L", `c:${path}`, out]);
    assert.ok(exitCode === 3 || /ELOOP|ERR_COPY_NOT_FOUND/.test(stderr), `${path}: ${exitCode} ${stderr}`);
  }
  const source = join(store.path, "source");
  mkdirSync(join(source, "sub"), { recursive: true });
  writeFileSync(join(source, "sub", "file"), "written\n");
  for (const [from, to] of [
    [join(source, "sub", "file"), "/abs/file"],
    [join(source, "sub", "file"), "/leaf"],
    [join(source, "sub", "file"), "/dangling"],
    [join(source, "sub", "file"), `${up}${secret}/file`],
    [`${source}/.`, "/d"],
    [`${source}/.`, "/rel"],
  ] as const) {
    store.run(["cp", from, `c:${to}`]);
  }
  const tar = spawnSync("tar", ["-c", "-C", source, "."]).stdout;
  store.run(["cp", "-", "c:/d"], { input: tar });
  assert.deepEqual(below(secret), ["file"]);
  assert.equal(readFileSync(join(secret, "file"), "utf8"), "of the host\n");
  assert.deepEqual(below(out), []);
  store.ok("cp", "c:/d", join(out, "d")); // a link is copied as one
  assert.equal(readlinkSync(join(out, "d", "sub")), secret);
});

test("a directory that becomes a link while it is copied leads nowhere", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const secret = join(store.path, "secret");
  mkdirSync(secret);
  writeFileSync(join(secret, "f"), "of the host\n");
  const swap = `mkdir -p /t/a /t/b; echo mine >/t/a/f; mkdir /link; ln -s ${secret} /link/a; echo up
    while :; do mv /t/a /t/b/a; mv /link/a /t/a; mv /t/a /link/a; mv /t/b/a /t/a; done`;
  store.ok("run", "-d", "--name", "c", "bb:1", "sh", "-c", swap);
  until(() => store.ok("logs", "c") === "up");
  const source = join(store.path, "source");
  mkdirSync(join(source, "a"), { recursive: true });
  writeFileSync(join(source, "a", "f"), "written\n");
  const { signal } = new AbortController();
  const options = { archive: false, keepsSetIds: true, followLink: false, owner: { uid: 0, gid: 0 }, signal };
  let copied = 0;
  /** It may fail, or find the one or the other. In this process, for there is to be time for many. */
  const copy = async (from: TreePath, to: TreePath): Promise<void> => {
    try {
      copied += (await copyTree(from, to, { ...options, onSkipped: () => {} })).entries;
    } catch (error) {
      if (!isSystemError(error) && !(error instanceof LayerctlError)) throw error;
    }
  };
  using opened = Store.open(hostPath(store.root), { create: false });
  await withTree(opened, "c", async (root) => {
    const inside = { root, path: hostPath("/t") };
    for (let turn = 0; turn < 100; turn++) {
      using outside = onThisHost(join(store.path, `out${turn}`));
      await copy(inside, outside);
      using written = onThisHost(`${source}/.`);
      await copy(written, inside);
      assert.equal(readFileSync(join(secret, "f"), "utf8"), "of the host\n");
    }
  });
  assert.ok(copied > 100, `${copied}`);
  const found = spawnSync("grep", [
    "-rl",
    "of the host",
    "--include=f",
    store.path,
    "--exclude-dir=secret",
    "--exclude-dir=store",
  ]);
  assert.equal(found.stdout.toString(), "");
  assert.deepEqual(below(secret), ["f"]);
});

test("in a container with a user namespace of its own files have its ids, and outside this host's", {
  skip: needsContainers,
}, async () => {
  await using store = scene("sleep 1000", "--uidmap", "0:100000:65536");
  spawnSync("chown", ["1000:77", join(store.src, "file")]);
  store.ok("cp", "-a", store.src, "c:/kept");
  store.ok("cp", store.src, "c:/plain");
  assert.equal(shell(store, "stat -c %u:%g /kept /kept/file /plain /plain/file"), "0:0\n1000:77\n0:0\n0:0");
  store.ok("cp", "-a", "c:/kept", join(store.path, "back"));
  const { uid, gid } = statSync(join(store.path, "back", "file"));
  assert.deepEqual([uid, gid], [1000, 77]);
  store.ok("stop", "-t", "0", "c");
  store.ok("cp", join(store.src, "file"), "c:/kept/later");
  store.ok("start", "c");
  assert.equal(shell(store, "stat -c %u:%g /kept/later"), "0:0");
  assert.match(store.ok("exec", "-u", "app", "c", "id"), /uid=1000/);
});
