import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExpose, parsePublish } from "../../../../../src/exec/network/ports.ts";

/** "IP HOST-HOST PORT/PROTOCOL" for each. */
function published(text: string): readonly string[] {
  return parsePublish(text).map(
    ({ hostAddress, hostPorts, port, protocol }) =>
      `${hostAddress} ${hostPorts?.join("-") ?? "any"} ${port}/${protocol}`,
  );
}

test("ports are published as docker spells them", () => {
  assert.deepEqual(published("80"), [" any 80/tcp"]);
  assert.deepEqual(published("8080:80/UDP"), [" 8080-8080 80/udp"]);
  assert.deepEqual(published("127.0.0.1:8080:80"), ["127.0.0.1 8080-8080 80/tcp"]);
  assert.deepEqual(published("127.0.0.1::80"), ["127.0.0.1 any 80/tcp"]);
  assert.deepEqual(published("[::1]:8080:80"), ["::1 8080-8080 80/tcp"]);
  assert.deepEqual(published("8000-8001:90-91"), [" 8000-8000 90/tcp", " 8001-8001 91/tcp"]);
  assert.deepEqual(published("8000-8005:80"), [" 8000-8005 80/tcp"]);
  assert.deepEqual(published("0:80-81"), [" any 80/tcp", " any 81/tcp"]);
});

test("what docker refuses is refused", () => {
  const refused = [
    "",
    ":",
    "0",
    "65536",
    "80/sctp",
    "80/tcp/x",
    "a:80",
    "80:a",
    "8080:80-81",
    "81-80",
    "1:2:3:4",
    "1.2.3:1:80",
  ];
  for (const text of [...refused, "127.0.0.1:8080", "[::1]:1.2.3.4:1:80", "[::1:80", "host:1:80", "-1:80", "80-"]) {
    assert.throws(() => parsePublish(text), { code: "ERR_PORT" }, text);
  }
  for (const text of ["", "80:80", "0", "x/udp", "80/x", "2-1", "80/udp/udp"]) {
    assert.throws(() => parseExpose(text), { code: "ERR_PORT" }, text);
  }
  assert.deepEqual(parseExpose("53-54/udp"), [
    { protocol: "udp", port: 53 },
    { protocol: "udp", port: 54 },
  ]);
});
