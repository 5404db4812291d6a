/**
 * The packaged containerd, on directories and sockets of its own, with our server as its snapshotter "layerctl". It runs in a
 * mount and a process namespace that go with everything in them when the test ends: shims, containers, mounts. There the cgroup
 * v2 hierarchy of a hybrid host is unmounted, which crun would stumble over.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { LAYERCTL } from "../helpers/layerctl.ts";

/** A daemon that does not answer after this never will. */
const PATIENCE_MS = 60_000;

export interface Containerd extends AsyncDisposable {
  readonly socket: string;
  /** Runs ctr, which must succeed, and returns its standard output without the last newline. */
  ctr(...args: readonly string[]): string;
  /** `ctr run --rm` on our snapshots: no network, no cgroup. */
  run(options: readonly string[], image: string, id: string, ...command: readonly string[]): string;
  /** What is mounted in its namespace below a directory. */
  mountsBelow(directory: string): readonly string[];
  /** Ends it with SIGKILL; what it has started lives on. */
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** Starts containerd; it answers when this settles. */
export async function startContainerd(directory: string, snapshotter: string): Promise<Containerd> {
  mkdirSync(directory, { recursive: true });
  const socket = join(directory, "containerd.sock");
  const config = join(directory, "config.toml");
  writeFileSync(config, configOf(directory, socket, snapshotter));
  const keeper = "umount /sys/fs/cgroup/unified 2>/dev/null; while :; do sleep 1000 & wait $!; done";
  const namespaces = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
  const holder = spawn("unshare", [...namespaces, "sh", "-c", keeper], { stdio: "ignore" });
  const inside = String(await childOf(holder));
  const env = { ...process.env, PATH: `${process.env.PATH}:${dirname(LAYERCTL)}` }; // layerctl-fuse is there
  let daemon: ChildProcess | null = null;

  const ctr = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync("ctr", ["-a", socket, ...args], { encoding: "utf8", env });
    if (status !== 0) throw new Error(`ctr ${args.join(" ")}: exit ${status}: ${stderr}`);
    return stdout.replace(/\n$/, "");
  };
  const start = async (): Promise<void> => {
    daemon = spawn("nsenter", ["-t", inside, "-m", "-p", "containerd", "-c", config], {
      stdio: ["ignore", "ignore", "ignore"],
      env,
    });
    for (const began = Date.now(); ; await sleep(50)) {
      if (spawnSync("ctr", ["-a", socket, "version"]).status === 0) return;
      if (Date.now() - began > PATIENCE_MS) throw new Error("containerd does not answer");
    }
  };
  const kill = async (): Promise<void> => {
    if (daemon === null) return;
    const ended = once(daemon, "exit"); // nsenter ends with it
    process.kill(await childOf(daemon), "SIGKILL");
    await ended;
  };
  const dispose = async (): Promise<void> => {
    const ended = once(holder, "exit");
    process.kill(Number(inside), "SIGKILL"); // the first process of its namespace: all others go with it
    await ended;
  };
  try {
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    socket,
    ctr,
    run: (options, image, id, ...command) =>
      ctr("run", "--rm", "--cgroup", "", "--snapshotter", "layerctl", ...options, image, id, ...command),
    mountsBelow: (root) =>
      readFileSync(`/proc/${inside}/mountinfo`, "latin1")
        .split("\n")
        .map((line) => line.split(" ")[4] ?? "")
        .filter((target) => target.startsWith(`${root}/`)),
    kill,
    start,
    [Symbol.asyncDispose]: dispose,
  };
}

/** The one process that another has started. */
async function childOf({ pid }: ChildProcess): Promise<number> {
  for (const began = Date.now(); ; await sleep(5)) {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    if (children !== "") return Number(children.split(" ")[0]);
    if (Date.now() - began > PATIENCE_MS) throw new Error(`process ${pid} starts nothing`);
  }
}

function configOf(directory: string, socket: string, snapshotter: string): string {
  const unused = ["btrfs", "aufs", "zfs", "devmapper"].map((name) => `"io.containerd.snapshotter.v1.${name}"`);
  return `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", ${unused.join(", ")}]
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
[proxy_plugins.layerctl]
  type = "snapshot"
  address = "${snapshotter}"
`;
}
