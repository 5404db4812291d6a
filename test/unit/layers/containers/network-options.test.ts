import assert from "node:assert/strict";
import { test } from "node:test";
import { type NetworkTexts, parseNetworkOptions } from "../../../../layers/containers/network-options.ts";

test("networks are those of docker and podman, and no others", () => {
  assert.deepEqual(parseNetworkOptions("container:web").mode, { kind: "container", name: "web" });
  assert.deepEqual(parseNetworkOptions("ns:/run/netns/x").mode, { kind: "namespace", path: "/run/netns/x" });
  for (const text of ["", "mine", "container:", "container", "ns:relative", "bridge:x", "none "]) {
    assert.throws(() => parseNetworkOptions(text), { code: "ERR_NETWORK" }, text);
  }
});

test("what docker refuses together is refused", () => {
  const refused: readonly (readonly [string, NetworkTexts, string?])[] = [
    ["host", { ip: "172.29.0.9" }],
    ["none", { macAddress: "02:00:00:00:00:01" }],
    ["ns:/x", { aliases: ["a"] }],
    ["container:web", { publish: ["80"] }],
    ["container:web", { publishAll: true }],
    ["container:web", { expose: ["80"] }],
    ["container:web", { addHost: ["a:1.2.3.4"] }],
    ["container:web", { dns: ["1.1.1.1"] }],
    ["container:web", { dnsOptions: ["ndots:1"] }],
    ["container:web", {}, "its-own"],
    ["none", { addHost: ["h:host-gateway"] }],
  ];
  for (const [network, texts, hostname] of refused) {
    const name = JSON.stringify([network, texts, hostname]);
    assert.throws(() => parseNetworkOptions(network, texts, hostname), { code: "ERR_NETWORK_OPTION" }, name);
  }
});

test("values are checked before anything is made", () => {
  const wrong: readonly NetworkTexts[] = [
    { ip: "1.2.3" },
    { ip: "::1" },
    { macAddress: "x" },
    { aliases: ["a b"] },
    { addHost: ["a"] },
    { addHost: ["a:b"] },
    { addHost: ["a\nb:1.2.3.4"] },
    { dns: ["one"] },
    { dnsSearch: ["a\nnameserver 1.2.3.4"] },
    { dnsOptions: ["a b"] },
  ];
  for (const texts of wrong) {
    assert.throws(() => parseNetworkOptions("bridge", texts), { code: "ERR_NETWORK_OPTION" }, JSON.stringify(texts));
  }
  const { hosts } = parseNetworkOptions("bridge", { addHost: ["a:1.2.3.4", "b=[::1]", "c:::1", "d:host-gateway"] });
  assert.deepEqual(
    hosts.map(({ address }) => address),
    ["1.2.3.4", "::1", "::1", null],
  );
});
