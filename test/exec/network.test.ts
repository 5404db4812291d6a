/**
 * Containers on the bridge. All of it in network namespaces that are this process's own: the "host" is one, and a neighbour
 * on its network another.
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { enterOwnNetwork, HOST, must, NEIGHBOUR, type Neighbour, networkState } from "../helpers/own-network.ts";
import { requires } from "../helpers/requires.ts";

const skip = needsContainers === false ? requires("program:ip", "program:nft", "program:wget") : needsContainers;
const neighbour: Neighbour | null = skip === false ? enterOwnNetwork() : null;

/** In the container: says who asks. */
const SERVER = `mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo "$REMOTE_ADDR" | sed "s/.*://; s/]//"' >/w/cgi-bin/who; chmod +x /w/cgi-bin/who
  exec httpd -f -p 80 -h /w`;

function serve(store: ContainerStore, name: string, ...options: readonly string[]): void {
  store.ok("run", "-d", "--name", name, ...options, "bb:1", "sh", "-c", SERVER);
}

/** Asks the server, until it is up. */
function ask(where: string): string {
  return `wget -q -T 3 -t 20 --retry-connrefused --waitretry=0.1 -O - 'http://${where}/cgi-bin/who'`;
}

interface Listed {
  readonly name: string;
  readonly pid: number;
}

/** The first process of a container that runs. */
function pidOf(store: ContainerStore, name: string): number {
  const { containers } = JSON.parse(store.ok("ps", "--json")) as { containers: readonly Listed[] };
  const found = containers.find((container) => container.name === name);
  assert.ok(found, `${name} runs`);
  return found.pid;
}

/** Runs a script of the host's in the network of a container. */
function within(store: ContainerStore, name: string, script: string): string {
  return must(`nsenter -t ${pidOf(store, name)} -n sh -c "${script}"`);
}

/** A static busybox cannot load what glibc asks name servers with. */
const BY_FILES = "echo 'hosts: files' >/etc/nsswitch.conf";

test("a container on the bridge has an address, the way out, and leaves nothing behind", { skip }, async () => {
  await using store = busyboxStore();
  const before = networkState();
  const options = ["--network", "bridge", "--name", "c"];
  const seen = store.shell(
    "ip -o -4 addr show eth0; ip route; cat /etc/hosts; cat /sys/class/net/eth0/address",
    ...options,
  );
  assert.match(seen, /inet 172\.29\.0\.2\/22 /);
  assert.match(seen, /^default via 172\.29\.0\.1 dev eth0/m);
  assert.match(seen, /^172\.29\.0\.2\tc$/m);
  assert.match(seen, /^02:42:ac:1d:00:02$/m);
  // The neighbour knows no route back: it must see the host's address.
  assert.match(store.shell(`ping -c1 -W3 ${NEIGHBOUR}`, ...options), / 0% packet loss/);
  assert.deepEqual([networkState(), tracesOf(store)], [before, []]);
});

test("a published port is reached from everywhere, and no other from outside", { skip }, async () => {
  await using store = busyboxStore();
  const before = networkState();
  serve(store, "web", "-p", "8080:80");
  for (const where of ["127.0.0.1:8080", "[::1]:8080", `${HOST}:8080`])
    assert.equal(must(ask(where)), "172.29.0.1", where);
  assert.equal(neighbour?.shell(ask(`${HOST}:8080`)), NEIGHBOUR); // led on in the kernel: the container sees who it is
  store.ok("run", "-d", "--network", "bridge", "--name", "client", "bb:1", "sleep", "1000");
  const asked = ["172.29.0.2", "172.29.0.1:8080", `${HOST}:8080`].map((where) => within(store, "client", ask(where)));
  assert.deepEqual(asked, ["172.29.0.3", "172.29.0.1", "172.29.0.1"]);
  // A neighbour that knows the way to the bridge gets in at published ports only.
  neighbour?.shell(`ip route add 172.29.0.0/22 via ${HOST}`);
  const direct = "wget -q -T 1 -t 1 -O - http://172.29.0.2/cgi-bin/who || echo refused";
  assert.equal(neighbour?.shell(direct), "refused");
  assert.equal(neighbour?.shell(`${ask(`${HOST}:8080`)}; ip route del 172.29.0.0/22`), NEIGHBOUR);
  store.ok("rm", "-f", "web", "client");
  assert.deepEqual([networkState(), tracesOf(store)], [before, []]);
});

test("containers find each other by name, as long as they run, and keep what they wrote to their hosts", {
  skip,
}, async () => {
  await using store = busyboxStore();
  store.ok("run", "-d", "--network-alias", "data", "--name", "db", "bb:1", "sleep", "1000");
  store.ok("run", "-d", "--network", "bridge", "--name", "app", "bb:1", "sleep", "1000");
  assert.match(
    store.ok("exec", "app", "sh", "-c", `${BY_FILES}; ping -c1 -W3 data`),
    /172\.29\.0\.2.* 0% packet loss/s,
  );
  assert.match(store.ok("exec", "db", "cat", "/etc/hosts"), /^172\.29\.0\.3\tapp\t# layerctl$/m);
  store.ok("exec", "db", "sh", "-c", "echo 10.9.8.7 mine >>/etc/hosts");
  store.ok("rename", "app", "renamed");
  assert.match(store.ok("exec", "db", "cat", "/etc/hosts"), /^172\.29\.0\.3\trenamed\t# layerctl$/m);
  store.ok("rm", "-f", "renamed");
  const hosts = store.ok("exec", "db", "cat", "/etc/hosts");
  assert.match(hosts, /^172\.29\.0\.2\tdb data$.*^10\.9\.8\.7 mine$/ms);
  assert.doesNotMatch(hosts, /renamed/);
  store.ok("rm", "-f", "db");
});

/** A server that says who asks, and one question to it. */
const UDP_SERVER = `const s = require("node:dgram").createSocket("udp4");
  s.on("message", (text, from) => s.send(text + " " + from.address, from.port, from.address)).bind(53, () => console.log("up"));`;
const UDP_CLIENT = `const [, port, host] = process.argv;
  const s = require("node:dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
  setInterval(() => s.send("asked by", Number(port), host), 200);
  s.on("message", (text) => { console.log(String(text)); process.exit(0); });`;

test("a published UDP port is reached from everywhere", { skip }, async () => {
  await using store = busyboxStore();
  store.ok("run", "-d", "--name", "dns", "-p", "5353:53/udp", "bb:1", "sleep", "1000");
  const server = spawn("nsenter", ["-t", String(pidOf(store, "dns")), "-n", process.execPath, "-e", UDP_SERVER], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await once(server.stdout, "data");
    const asked = (host: string): string => `timeout 20 ${process.execPath} -e '${UDP_CLIENT}' 5353 ${host}`;
    assert.equal(must(asked("127.0.0.1")), "asked by 172.29.0.1");
    assert.equal(must(asked("::1")), "asked by 172.29.0.1");
    assert.equal(neighbour?.shell(asked(HOST)), `asked by ${NEIGHBOUR}`);
  } finally {
    server.kill("SIGKILL");
    await once(server, "exit");
  }
  store.ok("rm", "-f", "dns");
});

test("ports are told; one that is in use is an error with its name", { skip }, async () => {
  await using store = busyboxStore();
  const options = ["-p", "127.0.0.1:8080:80", "-p", "9000-9001:90-91", "-P", "--expose", "53/udp", "--expose", "80"];
  store.ok("run", "-d", "--name", "web", ...options, "bb:1", "sleep", "1000");
  const [udp = "", ...others] = store.ok("port", "web").split("\n");
  assert.match(udp, /^53\/udp -> 0\.0\.0\.0:\d{4,5}$/);
  assert.deepEqual(others, ["80/tcp -> 127.0.0.1:8080", "90/tcp -> 0.0.0.0:9000", "91/tcp -> 0.0.0.0:9001"]);
  assert.equal(store.ok("port", "web", "80"), "127.0.0.1:8080");
  assert.match(store.ok("ps"), / 0\.0\.0\.0:\d+->53\/udp, 127\.0\.0\.1:8080->80\/tcp, /);
  const unknown = store.run(["port", "web", "81"]);
  assert.equal(unknown.exitCode, 3);
  assert.match(unknown.stderr, /ERR_PORT_NOT_PUBLISHED/);
  const before = networkState();
  for (const [port, words] of [
    ["8080:1", /port 1\/tcp at 0\.0\.0\.0:8080\/tcp: it is in use .*ERR_PORT_IN_USE/],
    ["9000-9001:1", /0\.0\.0\.0:9000-9001\/tcp: it is in use .*ERR_PORT_IN_USE/],
    ["203.0.113.1:1:1", /this host has no such address .*ERR_PORT_ADDRESS/],
  ] as const) {
    const { exitCode, stderr } = store.inside(["-p", port, "bb:1", "true"]);
    assert.equal(exitCode, 125);
    assert.match(stderr, words);
  }
  assert.equal(networkState(), before);
  store.ok("run", "--rm", "-p", "9000-9002:1", "bb:1", "true"); // the first that is free
  store.ok("rm", "-f", "web");
  assert.equal(store.ok("ps", "-a", "--json").includes("web"), false);
});

test("a container has the network of another, with its name and its files", { skip }, async () => {
  await using store = busyboxStore();
  const refused = store.inside(["--network", "container:web", "bb:1", "true"]);
  assert.match(refused.stderr, /ERR_SNAPSHOT_NOT_FOUND/);
  const before = networkState();
  store.ok("run", "-d", "--name", "web", "-p", "8080:80", "bb:1", "sleep", "1000");
  for (const runtime of [[], ["--runtime", "crun"]]) {
    const look = "hostname; ip -o -4 addr show eth0; tail -n 1 /etc/hosts";
    const seen = store.shell(look, "--network", "container:web", ...runtime);
    assert.match(seen, /^web\n.* 172\.29\.0\.2\/22 .*\n172\.29\.0\.2\tweb$/s, runtime.join(" "));
  }
  store.ok("run", "-d", "--name", "side", "--network", "container:web", "bb:1", "sh", "-c", SERVER);
  assert.equal(must(ask("127.0.0.1:8080")), "172.29.0.1");
  assert.match(store.shell("hostname", "--network", "container:side"), /^web$/);
  store.ok("rm", "-f", "web"); // the namespace lives on, its link of the host does not
  assert.equal(networkState(), before);
  assert.match(store.inside(["--network", "container:side", "bb:1", "true"]).stderr, /ERR_SNAPSHOT_NOT_FOUND/);
  store.ok("rm", "-f", "side");
  store.ok("run", "--name", "ended", "bb:1", "true");
  assert.match(store.inside(["--network", "container:ended", "bb:1", "true"]).stderr, /ERR_CONTAINER_STOPPED/);
  assert.equal(store.shell("ip -o link | wc -l", "--network", "ns:/proc/self/ns/net"), must("ip -o link | wc -l"));
});

test("addresses, names and name servers are what is asked for", { skip }, async () => {
  await using store = busyboxStore();
  const options = ["--ip", "172.29.1.7", "--mac-address", "02:00:00:00:00:07", "--add-host", "h:host-gateway"];
  const resolver = ["--dns", "9.9.9.9", "--dns-search", "example.org", "--dns-option", "ndots:3"];
  const look = "ip -o -4 addr show eth0; cat /sys/class/net/eth0/address /etc/hosts /etc/resolv.conf";
  const seen = store.shell(look, ...options, ...resolver, "--hostname", "me");
  assert.match(seen, / 172\.29\.1\.7\/22 .*\n02:00:00:00:00:07\n/);
  assert.match(seen, /^172\.29\.1\.7\tme bb-\w+$\n^172\.29\.0\.1\th$/m);
  assert.match(seen, /^nameserver 9\.9\.9\.9\nsearch example\.org\noptions ndots:3$/m);
  store.ok("run", "-d", "--name", "c", "--ip", "172.29.0.9", "bb:1", "sleep", "1000");
  for (const [address, words] of [
    ["172.29.0.9", /container "c" has it .*ERR_ADDRESS_IN_USE/],
    ["172.29.0.1", /ERR_ADDRESS_RANGE/],
    ["172.29.3.255", /ERR_ADDRESS_RANGE/],
    ["10.0.0.1", /those of 172\.29\.0\.0\/22 .*ERR_ADDRESS_RANGE/],
  ] as const) {
    assert.match(store.inside(["--ip", address, "bb:1", "true"]).stderr, words);
  }
  store.ok("rm", "-f", "c");
});

test("name servers that only the host reaches are left out, and it is said where nobody is left", {
  skip,
}, async () => {
  await using store = busyboxStore();
  const resolvConf = (text: string, resolved: string): readonly [string, string] => {
    for (const [name, content] of [
      ["resolv.conf", text],
      ["resolved", resolved],
    ] as const) {
      writeFileSync(join(store.path, name), content);
    }
    const script = `mount --bind ${store.path}/resolv.conf /etc/resolv.conf && mount -t tmpfs t /run &&
      mkdir -p /run/systemd/resolve && cp ${store.path}/resolved /run/systemd/resolve/resolv.conf && exec "$@"`;
    const run = [
      LAYERCTL,
      "--root",
      store.root,
      "run",
      "--rm",
      "--network",
      "bridge",
      "bb:1",
      "cat",
      "/etc/resolv.conf",
    ];
    const { stdout, stderr } = spawnSync("unshare", ["-m", "sh", "-c", script, "sh", ...run], { encoding: "utf8" });
    return [stdout, stderr];
  };
  const host = "search one.example\nnameserver 127.0.0.53 # local\nnameserver 198.51.100.1\nnameserver 2001:db8::1\n";
  assert.deepEqual(resolvConf(host, ""), ["nameserver 198.51.100.1\nsearch one.example\n", ""]);
  const local = "nameserver 127.0.0.53\noptions edns0\n";
  assert.deepEqual(resolvConf(local, "nameserver 198.51.100.2\n"), ["nameserver 198.51.100.2\noptions edns0\n", ""]);
  const [file, words] = resolvConf(local, "nameserver ::1\n");
  assert.equal(file, "options edns0\n");
  assert.match(words, /network\.no-name-server .*--dns/);
});

test("a block that the host has a route to is not the bridge's", { skip }, async () => {
  await using store = busyboxStore();
  must("ip route add 172.29.0.0/16 dev out");
  try {
    assert.match(store.shell("ip route", "--network", "bridge"), /^default via 172\.30\.0\.1 /);
  } finally {
    must("ip route del 172.29.0.0/16");
  }
});

test("that the host forwards from now on is said, also by a container that runs detached", { skip }, async () => {
  await using store = busyboxStore();
  for (const options of [["--rm"], ["-d", "--rm"]]) {
    must("echo 0 >/proc/sys/net/ipv4/ip_forward");
    const { exitCode, stderr } = store.run(["run", ...options, "--network", "bridge", "bb:1", "true"]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /network\.forwarding-enabled/);
    assert.equal(must("cat /proc/sys/net/ipv4/ip_forward"), "1");
  }
  assert.match(store.run(["run", "--rm", "--network", "none", "-p", "1:1", "bb:1", "true"]).stderr, /ports-discarded/);
  assert.match(
    store.run(["run", "--rm", "--net", "host", "-P", "bb:1", "true"]).stderr,
    /ports-discarded network=host/,
  );
});

for (const runtime of ["crun", "runc"]) {
  test(`a container of ${runtime} is on the bridge as one of layerctl's`, {
    skip: skip === false ? requires(`program:${runtime}`) : skip,
  }, async () => {
    await using store = busyboxStore();
    const before = networkState();
    serve(store, "web", "-p", "8080:80", "--runtime", runtime);
    assert.equal(must(ask("127.0.0.1:8080")), "172.29.0.1");
    assert.equal(neighbour?.shell(ask(`${HOST}:8080`)), NEIGHBOUR);
    store.ok("rm", "-f", "web");
    assert.deepEqual([networkState(), tracesOf(store)], [before, []]);
  });
}
