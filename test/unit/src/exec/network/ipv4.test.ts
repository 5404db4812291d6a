import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatAddress,
  formatBlock,
  formatMac,
  freeBlock,
  macOf,
  parseAddress,
  parseBlock,
  parseMac,
} from "../../../../../src/exec/network/ipv4.ts";

function free(...taken: readonly string[]): string | null {
  const block = freeBlock(taken.map(parseBlock));
  return block === null ? null : formatBlock(block);
}

test("addresses are read and written", () => {
  assert.equal(formatAddress(parseAddress("255.0.10.1") ?? 0), "255.0.10.1");
  for (const text of ["1.2.3", "256.1.1.1", "1.2.3.4/5", "::1", "01.2.3.4", ""])
    assert.equal(parseAddress(text), null, text);
  assert.equal(formatMac(macOf(parseAddress("172.29.0.2") ?? 0)), "02:42:ac:1d:00:02");
  assert.equal(formatMac(parseMac("02-42-AC-1d-00-0f") ?? Buffer.alloc(0)), "02:42:ac:1d:00:0f");
  for (const text of ["01:00:5e:00:00:01", "02:42:ac:1d:00", "02:42-ac:1d:00:02", "02:42:ac:1d:00:0g"]) {
    assert.equal(parseMac(text), null, text);
  }
});

test("a bridge gets addresses that no route of the host leads to", () => {
  assert.equal(free(), "172.29.0.0/22");
  assert.equal(free("172.29.2.7/32", "172.29.4.0/24"), "172.29.8.0/22");
  assert.equal(free("172.16.0.0/12"), "10.224.0.0/22");
  assert.equal(free("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/17"), "192.168.128.0/22");
  assert.equal(free("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"), null);
  assert.equal(
    free("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"),
    "172.29.0.0/22",
    "these are ways to have a default route",
  );
});
