/** What is left of networks when something dies or is missing: nothing that the next command does not take away. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { monitorOf, until } from "../helpers/monitor.ts";
import { enterOwnNetwork, HOST, must, networkState } from "../helpers/own-network.ts";
import { requires } from "../helpers/requires.ts";

const skip = needsContainers === false ? requires("program:ip", "program:nft") : needsContainers;
if (skip === false) enterOwnNetwork();

const BRIDGED = ["--network", "bridge", "-p", "8080:80"];
const STEPS = 12;

/** Starts a container in front. */
function start(store: ContainerStore, ...args: readonly string[]): ChildProcess {
  return spawn(LAYERCTL, ["--root", store.root, "run", ...args], { stdio: ["ignore", "pipe", "inherit"] });
}

function processesOf(store: ContainerStore): readonly string[] {
  return tracesOf(store).filter((trace) => trace.startsWith("process"));
}

/** Starts a container, and kills the monitor that it has. */
async function startAndKillMonitor(store: ContainerStore): Promise<void> {
  store.ok("run", "-d", "--name", "c", ...BRIDGED, "bb:1", "sleep", "1000");
  const { containers } = JSON.parse(store.ok("ps", "--json")) as { containers: readonly { pid: number }[] };
  const pid = containers[0]?.pid ?? 0;
  process.kill(monitorOf(pid), "SIGKILL");
  await until(() => !existsSync(`/proc/${pid}`) && processesOf(store).length === 0);
}

test("the bridge of a killed monitor goes with the next command", { skip }, async () => {
  await using store = busyboxStore();
  const before = networkState();
  await startAndKillMonitor(store);
  assert.match(networkState(), /layerctl-.*table ip layerctl-/s);
  store.ok("gc");
  assert.deepEqual([networkState(), tracesOf(store)], [before, []]);
});

test("after a reboot there is nothing to take away, and containers start again", { skip }, async () => {
  await using store = busyboxStore();
  const before = networkState();
  await startAndKillMonitor(store);
  must("ip link del $(ip -o link | grep -o 'layerctl-[0-9a-f]*' | head -n 1) && nft flush ruleset");
  await until(() => networkState() === before); // the kernel takes the container's pair away after its namespace
  store.ok("start", "c");
  assert.match(store.ok("port", "c"), /8080/);
  store.ok("rm", "-f", "c");
  assert.equal(networkState(), before);
});

test("a command in another network finishes a container all the same", { skip }, async () => {
  await using store = busyboxStore();
  await startAndKillMonitor(store);
  const { status, stderr } = spawnSync("unshare", ["-n", LAYERCTL, "--root", store.root, "rm", "c"], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  must("ip link del $(ip -o link | grep -o 'layerctl-[0-9a-f]*' | head -n 1) && nft flush ruleset");
  assert.deepEqual(tracesOf(store), []);
});

test("a launcher killed at any step of start-up leaves no link, address, rule or port", { skip }, async () => {
  await using store = busyboxStore();
  const before = networkState();
  const begun = Date.now();
  store.shell("true", ...BRIDGED);
  const wholeMs = Date.now() - begun;
  for (let step = 1; step <= STEPS; step++) {
    const child = start(store, "--rm", ...BRIDGED, "bb:1", "sleep", "4711");
    await sleep((wholeMs * step) / STEPS);
    child.kill("SIGKILL");
    await once(child, "exit");
    await until(() => processesOf(store).length === 0);
    if (step % 3 === 0) continue; // the next one finds two of them
    store.ok("ps");
    await until(() => networkState() === before); // its own namespace goes a little later
    assert.deepEqual(tracesOf(store), [], `killed in step ${step}`);
  }
  store.ok("ps");
  await until(() => networkState() === before);
  assert.match(store.ok("fsck"), /sound/);
});

test("containers that start at once have addresses of their own", { skip }, async () => {
  await using store = busyboxStore();
  const before = networkState();
  const script = "ip -o -4 addr show eth0 | grep -o '172[0-9.]*/'; read x";
  const children = Array.from({ length: 4 }, () => {
    const args = ["--root", store.root, "run", "-i", "--rm", "--network", "bridge", "bb:1", "sh", "-c", script];
    return spawn(LAYERCTL, args, { stdio: ["pipe", "pipe", "inherit"] });
  });
  const seen = await Promise.all(
    children.map(async (child) => {
      const [bytes] = (await once(child.stdout, "data")) as [Buffer];
      return bytes.toString().trim();
    }),
  );
  assert.deepEqual(seen.toSorted(), ["172.29.0.2/", "172.29.0.3/", "172.29.0.4/", "172.29.0.5/"]);
  const ended = children.map((child) => once(child, "close"));
  for (const child of children) child.stdin.end("\n");
  await Promise.all(ended);
  assert.deepEqual([networkState(), tracesOf(store)], [before, []]);
});

test("two stores have bridges of their own", { skip }, async () => {
  await using first = busyboxStore();
  await using second = busyboxStore();
  const before = networkState();
  first.ok("run", "-d", "--name", "c", "--network", "bridge", "bb:1", "sleep", "1000");
  assert.match(second.shell("ip route", "--network", "bridge"), /^default via 172\.29\.4\.1 /);
  first.ok("rm", "-f", "c");
  assert.equal(networkState(), before);
});

test("ports stay reached when somebody flushes all rules, and the next container puts all right again", {
  skip,
}, async () => {
  await using store = busyboxStore();
  const serve = "mkdir /w; echo hello >/w/index.html; exec httpd -f -p 80 -h /w";
  store.ok("run", "-d", "--name", "web", ...BRIDGED, "bb:1", "sh", "-c", serve);
  const before = networkState();
  must("nft flush ruleset");
  const ask = `wget -q -T 3 -t 20 --retry-connrefused --waitretry=0.1 -O - http://${HOST}:8080/`;
  assert.equal(must(ask), "hello");
  must("b=$(ip -o link | grep -o 'layerctl-[0-9a-f]*' | head -n 1); ip addr flush dev $b; ip link set $b down");
  store.ok("run", "--rm", "--network", "bridge", "bb:1", "true");
  assert.equal(networkState(), before);
  store.ok("rm", "-f", "web");
});

test("what the host lacks for a bridge is said, and nothing is left", { skip }, async () => {
  await using store = busyboxStore();
  const before = networkState();
  const run = [LAYERCTL, "--root", store.root, "run", "--rm", "--network", "bridge", "bb:1", "true"];
  for (const [command, words] of [
    [
      ["unshare", "-m", "sh", "-c", 'mount -t tmpfs t /usr/sbin && exec "$@"', "sh"],
      /nft\(8\) is not installed.*ERR_NO_NFTABLES/,
    ],
    [["setpriv", "--bounding-set", "-net_admin"], /use none, host or container:NAME \(ERR_NETWORK_PRIVILEGE\)/],
  ] as const) {
    const [program = "", ...args] = [...command, ...run];
    const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
    assert.equal(status, 125);
    assert.match(stderr, words);
    assert.deepEqual([networkState(), tracesOf(store)], [before, []]);
  }
  assert.equal(store.ok("ps", "-a", "--json").includes('"name"'), false);
});
