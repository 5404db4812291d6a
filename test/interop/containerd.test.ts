/** The packaged containerd with our snapshotter: it unpacks, runs, commits and cleans up, and our store has the same layers. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxStore, needsContainers } from "../helpers/busybox.ts";
import type { TestStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { type ServedStore, servedStore } from "../helpers/served-store.ts";
import { failsWith, SnapshotsClient } from "../helpers/snapshots-client.ts";
import { type Containerd, startContainerd } from "./containerd.ts";

const skip =
  needsContainers === false
    ? requires("program:containerd", "program:ctr", "program:runc", "program:crun")
    : needsContainers;

const IMAGE = "docker.io/library/bb:2";
/** Without it, or a lease, containerd's own garbage collector takes a snapshot at its next run. */
const KEPT = { "containerd.io/gc.root": "now" };
const RUNTIMES = { runc: [], crun: ["--runc-binary", "crun"] } as const;

interface Scene extends AsyncDisposable {
  readonly served: ServedStore;
  readonly containerd: Containerd;
  /** An archive of an image of two layers. */
  readonly archive: string;
}

async function openScene(...options: readonly string[]): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const served = stack.use(await servedStore(...options));
  const archive = join(served.path, "bb.tar");
  {
    await using source = busyboxStore();
    const tree = source.mount("bb:1", "--name", "w");
    spawnSync("sh", ["-c", "echo second > second; rm -r home; mkdir -m 700 etc/new"], { cwd: tree });
    source.ok("commit", "w", "bb:2");
    source.ok("save", "bb:2", "-o", archive);
  }
  const containerd = stack.use(await startContainerd(join(served.path, "containerd"), served.socket));
  const whole = stack.move();
  return { served, containerd, archive, [Symbol.asyncDispose]: () => whole[Symbol.asyncDispose]() };
}

interface LayerDocument {
  readonly chainId: string;
  readonly parent?: string | null;
  readonly unpacked: object | null;
  readonly holders: readonly string[];
}

function layersOf(store: TestStore): readonly LayerDocument[] {
  return (JSON.parse(store.ok("--json", "layers")) as { layers: LayerDocument[] }).layers;
}

/** Waits for what is done behind a caller's back. */
async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const began = Date.now(); !isSo(); await sleep(20)) {
    if (Date.now() - began > 30_000) throw new Error(`not so after 30 s: ${what}`);
  }
}

function namesIn(directory: string): readonly string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

test("an image is unpacked, run and committed, and importing it here unpacks nothing", { skip }, async () => {
  await using scene = await openScene();
  const { served, containerd, archive } = scene;
  containerd.ctr("images", "import", "--snapshotter", "layerctl", archive);
  for (const [name, options] of Object.entries(RUNTIMES)) {
    const script = "cat /second; ls -d /home 2>/dev/null; stat -c %a /etc/new; echo mine > /second; cat /second";
    assert.equal(containerd.run(options, IMAGE, `run-${name}`, "sh", "-c", script), "second\n700\nmine", name);
  }
  await until("both layers are in the store", () => layersOf(served).length === 2);
  assert.deepEqual(
    layersOf(served).map(({ holders }) => holders),
    [["containerd"], ["containerd"]],
  );
  assert.match(served.ok("gc"), /^freed 0 B$/);

  const held = (): readonly string[] => namesIn(join(served.root, "held"));
  await until("the containers' snapshots have gone", () => held().length === 2);
  served.ok("import", archive);
  assert.deepEqual(namesIn(join(served.root, "layers")), [], "nothing was unpacked");
  assert.equal(held().length, 2);
  assert.equal(served.ok("run", "--rm", "bb:2", "cat", "/second"), "second");
  assert.match(served.ok("fsck", "--deep"), /sound/);

  const snapshots = (...args: readonly string[]): string =>
    containerd.ctr("snapshots", "--snapshotter", "layerctl", ...args);
  snapshots("prepare", "work", layersOf(served).find(({ parent }) => parent !== null)?.chainId ?? "");
  snapshots("commit", "kept", "work");
  assert.match(snapshots("info", "kept"), /"Kind": "Committed"/);
  snapshots("rm", "kept");

  containerd.ctr("images", "rm", "--sync", IMAGE);
  await until("containerd holds nothing", () => layersOf(served).every(({ holders }) => holders.length === 0));
  assert.equal(served.ok("run", "--rm", "bb:2", "cat", "/second"), "second", "our image has its layers still");
  served.ok("rmi", "bb:2");
  served.ok("gc");
  assert.deepEqual([namesIn(join(served.root, "held")), namesIn(join(served.root, "layers"))], [[], []]);
});

test("what the store has is not unpacked for who asks by chainID, and lies on the disk once in any case", {
  skip,
}, async () => {
  await using scene = await openScene();
  const { served, containerd, archive } = scene;
  served.ok("import", archive);
  const chain = (JSON.parse(served.ok("--json", "layers", "bb:2")) as { layers: LayerDocument[] }).layers.map(
    ({ chainId }) => chainId,
  );
  using client = new SnapshotsClient(containerd.socket, { namespace: "remote" });
  let parent = "";
  for (const chainId of chain) {
    // What containerd's own unpacker asks before it fetches a layer.
    const asked = client.prepare(`extract-1-abcd ${chainId}`, parent, {
      ...KEPT,
      "containerd.io/snapshot.ref": chainId,
    });
    await assert.rejects(asked, failsWith("ALREADY_EXISTS"));
    assert.deepEqual((await client.stat(chainId)).parent, parent);
    parent = chainId;
  }
  const wrong = served.client.prepare("extract-2-abcd", "", { "containerd.io/snapshot.ref": chain[1] ?? "" });
  assert.equal((await wrong).length, 1, "on another parent it is another layer");
  await client.prepare("c", parent, KEPT);
  const [mount] = await client.mounts("c");
  assert.equal(mount?.options.find((option) => option.startsWith("lowerdir="))?.split(":").length, 2);

  // The client of this containerd unpacks without asking: what it unpacked makes place for a link.
  containerd.ctr("images", "import", "--snapshotter", "layerctl", archive);
  assert.equal(containerd.run([], IMAGE, "linked", "cat", "/second"), "second");
  const trees = () => namesIn(join(served.root, "held")).map((id) => join(served.root, "held", id, "fs"));
  await until("all layers are links", () => trees().filter((path) => lstatSync(path).isSymbolicLink()).length === 4);
  assert.equal(containerd.run([], IMAGE, "linked", "cat", "/second"), "second");
  assert.equal(layersOf(served).length, 2);
});

test("killed and started again, containerd and the server lose nothing, and leave nothing behind", {
  skip,
}, async () => {
  await using scene = await openScene();
  const { served, containerd, archive } = scene;
  containerd.ctr("images", "import", "--snapshotter", "layerctl", archive);
  const detached = ["run", "-d", "--cgroup", "", "--snapshotter", "layerctl", IMAGE, "lives"];
  containerd.ctr(...detached, "sh", "-c", "echo kept > /kept; sleep 1000");
  const execute = (id: string): string => containerd.ctr("tasks", "exec", "--exec-id", id, "lives", "cat", "/kept");
  await until("the container has written", () => execute(`x${Date.now()}`) === "kept");

  await served.serving.end("SIGKILL");
  assert.equal(execute("one"), "kept", "a container needs no server");
  await containerd.kill();
  await served.restart();
  await containerd.start();
  assert.equal(execute("two"), "kept");
  assert.equal(containerd.run([], IMAGE, "again", "cat", "/second"), "second");
  assert.match(served.ok("gc"), /^freed 0 B$/);
  assert.equal(execute("three"), "kept", "gc leaves what containerd uses");

  containerd.ctr("tasks", "kill", "-s", "SIGKILL", "lives");
  await until("it is stopped", () => containerd.ctr("tasks", "ls").includes("STOPPED"));
  containerd.ctr("tasks", "rm", "lives");
  containerd.ctr("containers", "rm", "lives");
  containerd.ctr("images", "rm", "--sync", IMAGE);
  await until("every snapshot has gone", () => namesIn(join(served.root, "held")).length === 0);
  await served.serving.end("SIGTERM");
  assert.deepEqual(namesIn(join(served.root, "tmp")), []);
  assert.deepEqual(containerd.mountsBelow(served.root), []);
  assert.deepEqual(containerd.mountsBelow(join(served.path, "containerd", "state")), []);
  assert.deepEqual(layersOf(served), []);
  assert.match(served.ok("gc"), /^freed 0 B$/);
});

test("50 clients of containerd prepare and remove at the same time", { skip }, async () => {
  await using scene = await openScene();
  const { served, containerd } = scene;
  using client = new SnapshotsClient(containerd.socket, { namespace: "crowd" });
  await client.prepare("base-a", "", KEPT);
  await client.commit("base", "base-a", KEPT);
  await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      await client.prepare(`k${index}`, "base", KEPT);
      await client.mounts(`k${index}`);
      await client.remove(`k${index}`);
    }),
  );
  await client.remove("base");
  containerd.ctr("leases", "rm", "--sync", containerd.ctr("leases", "create")); // runs containerd's garbage collector
  await until("every snapshot has gone", () => namesIn(join(served.root, "held")).length === 0);
});

test("with --backend fuse, containers stand on our FUSE server", {
  skip: skip === false ? requires("fuse", "program:mount.fuse3") : skip,
}, async () => {
  await using scene = await openScene("--backend", "fuse");
  const { containerd, archive } = scene;
  containerd.ctr("images", "import", "--snapshotter", "layerctl", archive);
  const script =
    "cat /second; grep -c ' / fuse' /proc/mounts; was=$(stat -c %i /etc/new); mv /etc/new /moved && [ $(stat -c %i /moved) = $was ] && ls -d /moved; ls -d /home 2>&1 || true";
  assert.equal(
    containerd.run([], IMAGE, "fuse", "sh", "-c", script),
    "second\n1\n/moved\nls: /home: No such file or directory",
  );
  assert.deepEqual(containerd.mountsBelow(join(scene.served.path, "containerd", "state")), []);
});

test("a store directory is not for others to look into", { skip }, async () => {
  await using served = await servedStore();
  assert.equal(statSync(join(served.root, "held")).mode & 0o777, 0o700);
});
