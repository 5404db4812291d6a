/** One image, imported once, runs in containerd, podman, crun and layerctl at the same time, and is on the disk once. */

import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { needsContainers } from "../helpers/busybox.ts";
import { ociFixture } from "../helpers/fixture-images.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { servedStore } from "../helpers/served-store.ts";
import { startContainerd } from "./containerd.ts";
import { type Invocation, peersIn } from "./peers.ts";

const programs = ["containerd", "ctr", "runc", "crun", "podman"].map((name) => `program:${name}` as const);
const skip = needsContainers === false ? requires(...programs) : needsContainers;

/** What runs everywhere: it says what it sees, writes, and lives until its standard input ends. */
const SCRIPT = "head -n1 /etc/passwd; echo mine > /mine; echo ready; cat > /dev/null";
/** What an engine keeps of a container of its own, and the tar-split for podman; the image has 128 MB. */
const OWN_BYTES = 10_000_000;

class Running implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #output = "";

  constructor({ file, args, env }: Invocation) {
    this.#child = spawn(file, args, { env, stdio: ["pipe", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text;
      });
    }
  }

  /** It has said all that it says. */
  async untilReady(): Promise<string> {
    while (!this.#output.includes("ready")) {
      if (this.#child.exitCode !== null) throw new Error(`it ended with ${this.#child.exitCode}: ${this.#output}`);
      await Promise.race([once(this.#child.stdout, "data"), once(this.#child, "exit")]);
    }
    return this.#output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#child.exitCode === null ? once(this.#child, "exit") : null;
    this.#child.stdin.end();
    await ended;
  }
}

function bytesIn(directory: string): number {
  // Not what is mounted below: a merged tree would count the layers again.
  return Number(spawnSync("du", ["-sbx", directory], { encoding: "utf8" }).stdout.split("\t")[0]);
}

test("containerd, podman, crun and layerctl run an image that was imported once, all at the same time", {
  skip,
  timeout: 300_000,
}, async () => {
  await using store = await servedStore();
  store.ok("import", ociFixture("rootfs"), "--name", "debian:12");
  using peers = peersIn(join(store.path, "peers"));
  store.ok("setup", "podman", "--write", "--config", join(store.path, "peers/storage.conf"));
  await using containerd = await startContainerd(join(store.path, "containerd"), store.socket);
  const archive = join(store.path, "debian.tar");
  store.ok("save", "debian:12", "-o", archive);
  const before = bytesIn(store.root);

  containerd.ctr("images", "import", "--snapshotter", "layerctl", archive);
  // ctr unpacks without asking what is there; the server puts a link in the place of what it finds it has.
  for (const began = Date.now(); bytesIn(store.root) - before > OWN_BYTES; await sleep(100)) {
    assert.ok(Date.now() - began < 60_000, `${before} bytes before, ${bytesIn(store.root)} now`);
  }
  const bundle = join(store.path, "bundle");
  store.ok("bundle", "--name", "b", "--rm", "-i", "debian:12", bundle, "sh", "-c", SCRIPT);
  const crun = `umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --root ${store.path}/state run --bundle ${bundle} engines`;
  const ctr = ["run", "--rm", "--cgroup", "", "--snapshotter", "layerctl", "docker.io/library/debian:12", "engines"];
  const { env } = process;
  const own = ["--root", store.root, "run", "--rm", "-i", "--network", "none", "debian:12", "sh", "-c", SCRIPT];
  {
    await using stack = new AsyncDisposableStack();
    const all = [
      { file: "ctr", args: ["-a", containerd.socket, ...ctr, "sh", "-c", SCRIPT], env },
      peers.podmanInvocation(["-i"], "debian:12", ["sh", "-c", SCRIPT]),
      { file: "unshare", args: ["-m", "sh", "-c", crun], env },
      { file: LAYERCTL, args: own, env },
    ].map((invocation) => stack.use(new Running(invocation)));
    const said = await Promise.all(all.map((running) => running.untilReady()));
    for (const text of said) assert.equal(text, "root:x:0:0:root:/root:/bin/bash\nready\n");
    assert.ok(bytesIn(store.root) - before < OWN_BYTES, `${before} bytes before, ${bytesIn(store.root)} now`);
    assert.ok(bytesIn(join(store.path, "peers")) < OWN_BYTES);
    const snapshots = join(store.path, "containerd/root/io.containerd.snapshotter.v1.overlayfs");
    assert.ok(bytesIn(snapshots) < OWN_BYTES);
  }
  store.run(["umount", "b"]); // crun's hook has unmounted a copy of the mount
  store.run(["rm", "b"]);
  assert.match(store.ok("fsck", "--deep"), /sound/);
});
