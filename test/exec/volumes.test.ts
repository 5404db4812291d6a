/** Volumes with names outlive the containers that have them. */

import assert from "node:assert/strict";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { busyboxStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { requires } from "../helpers/requires.ts";
import { directory, file, tar } from "../helpers/tar-builder.ts";

for (const runtime of [[], ["--runtime", "crun"]]) {
  const name = runtime[1] ?? "layerctl itself";
  const skip = needsContainers === false && runtime.length > 0 ? requires(`program:${name}`) : needsContainers;

  test(`a volume is made, kept and shared by containers of ${name}`, { skip }, async () => {
    await using store = busyboxStore();
    assert.equal(store.shell("echo kept >/data/file; ls /data", "-v", "data:/data", ...runtime), "file");
    assert.equal(
      store.shell("cat /other/file; touch /other/x 2>/dev/null || echo read-only", "-v", "data:/other:ro", ...runtime),
      "kept\nread-only",
    );
    // One that is new has what the image has there, with owners and modes.
    assert.equal(
      store.shell("stat -c '%a %u' /h /h/app", "-v", "homes:/home", "-v", "homes:/h", ...runtime),
      "755 0\n755 0",
    );
    assert.equal(store.shell("cat /data/file; ls /data", "-v", "data:/data", ...runtime), "kept\nfile");
    store.ok("run", "-d", "--name", "c", "-v", "data:/data", ...runtime, "bb:1", "sleep", "1000");
    const { volumes } = JSON.parse(store.ok("volume", "ls", "--json")) as {
      volumes: { name: string; containers: string[] }[];
    };
    assert.deepEqual(
      volumes.map((each) => [each.name, each.containers]),
      [
        ["data", ["c"]],
        ["homes", []],
      ],
    );
    const used = store.run(["volume", "rm", "homes", "data"]);
    assert.deepEqual([used.exitCode, used.stdout.toString()], [4, "homes\n"]);
    assert.match(used.stderr, /container "c" has it.*ERR_VOLUME_IN_USE/);
    store.ok("stop", "-t", "0", "c");
    writeFileSync(join(store.path, "new"), "new\n");
    store.ok("cp", join(store.path, "new"), "c:/data");
    assert.deepEqual(readdirSync(join(store.root, "volumes", "data")).sort(), ["file", "new"]);
    assert.equal(store.ok("diff", "c").includes("/data/"), false);
    store.ok("rm", "c");
    store.ok("volume", "rm", "data");
    assert.equal(store.ok("volume", "ls"), "NAME  CONTAINERS");
    assert.deepEqual(tracesOf(store), []);
  });
}

test("a new volume gets the owner and the mode of the image's directory, and not what a link leads to", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const layer = tar(
    directory("data/", { mode: 0o1770, uid: 1000, gid: 77 }),
    file("data/own", "of the image\n", { mode: 0o600, uid: 1000, gid: 77 }),
  );
  writeFileSync(join(store.path, "data.tar"), layer);
  store.ok("import", join(store.path, "data.tar"), "--rootfs", "--name", "data:1");
  store.run(["run", "--rm", "-v", "made:/data", "data:1", "/nothing"]);
  const made = statSync(join(store.root, "volumes", "made"));
  assert.deepEqual([made.mode & 0o7777, made.uid, made.gid], [0o1770, 1000, 77]);
  assert.equal(store.shell("stat -c '%a %u:%g' /v/own; cat /v/own", "-v", "made:/v"), "600 1000:77\nof the image");
  assert.equal(
    store.shell("stat -c %u:%g /v; touch /v/x && stat -c %u /v/x", "-v", "ids:/v", "--uidmap", "0:100000:65536"),
    "0:0\n0",
  );
});

test("what is no volume's name is refused", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  for (const volume of ["x:/v", "-x:/v", "a/b:/v", "../up:/v", ".:/v"]) {
    assert.match(store.inside(["-v", volume, "bb:1", "true"]).stderr, /ERR_VOLUME|unknown option/, volume);
  }
  assert.match(store.run(["volume", "create", "../up"]).stderr, /ERR_VOLUME_NAME/);
  assert.match(store.run(["volume", "rm", "nosuch"]).stderr, /ERR_VOLUME_NOT_FOUND/);
  assert.equal(store.run(["volume", "rm"]).exitCode, 2);
  assert.equal(store.ok("volume", "create", "twice", "twice"), "twice\ntwice");
});
