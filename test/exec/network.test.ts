/**
 * Containers on the bridge. All of it in network namespaces that are this process's own: the "host" is one, and a neighbour
 * on its network another.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
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

/** Runs a script of the host's in the network of a container. */
function within(store: ContainerStore, name: string, script: string): string {
  const { containers } = JSON.parse(store.ok("ps", "--json")) as {
    containers: readonly { name: string; pid: number }[];
  };
  const pid = containers.find((container) => container.name === name)?.pid;
  return must(`nsenter -t ${pid} -n sh -c "${script}"`);
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
  store.ok("rm", "-f", "app");
  const hosts = store.ok("exec", "db", "cat", "/etc/hosts");
  assert.match(hosts, /^172\.29\.0\.2\tdb data$.*^10\.9\.8\.7 mine$/ms);
  assert.doesNotMatch(hosts, /app/);
  store.ok("rm", "-f", "db");
});
