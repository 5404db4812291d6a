import assert from "node:assert/strict";
import test from "node:test";
import { formatPlatform, hostPlatform, parsePlatform, platformRank } from "../../../../layers/oci/platform.ts";
import { UsageError } from "../../../../src/errors.ts";

const rank = (wanted: string, offered: string) => platformRank(parsePlatform(wanted), parsePlatform(offered));

test("platforms have one spelling", () => {
  const cases = [
    ["linux/x86_64", "linux/amd64"],
    ["Linux/AArch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/arm64/8", "linux/arm64"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/armel", "linux/arm/v6"],
    ["linux/arm/6", "linux/arm/v6"],
    ["linux/amd64/v1", "linux/amd64"],
    ["linux/amd64/v3", "linux/amd64/v3"],
  ] as const;
  for (const [text, expected] of cases) assert.equal(formatPlatform(parsePlatform(text)), expected);
});

test("a platform that is not OS/ARCH is refused with an example", () => {
  for (const text of ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/../x", "linux/a b"]) {
    assert.throws(
      () => parsePlatform(text),
      (error) => error instanceof UsageError && /linux\/arm\/v7/.test(error.message),
      text,
    );
  }
});

test("lower variants run on higher ones, not the other way round", () => {
  assert.equal(rank("linux/arm/v7", "linux/arm/v7"), 0);
  assert.equal(rank("linux/arm/v7", "linux/arm/v6"), 1);
  assert.equal(rank("linux/arm/v7", "linux/arm/v5"), 2);
  assert.equal(rank("linux/arm/v6", "linux/arm/v7"), null);
  assert.equal(rank("linux/arm64", "linux/arm64/v8"), 0);
  assert.equal(rank("linux/arm64/v8", "linux/arm64"), 0);
  assert.equal(rank("linux/arm64", "linux/arm/v8"), 1);
  assert.equal(rank("linux/amd64", "linux/386"), 1);
  assert.equal(rank("linux/amd64", "linux/amd64/v3"), null);
  assert.equal(rank("linux/amd64/v3", "linux/amd64"), 2);
  assert.equal(rank("linux/amd64", "windows/amd64"), null);
  assert.equal(rank("linux/s390x", "linux/s390x"), 0);
});

test("the host's platform is one that images use", () => {
  assert.match(formatPlatform(hostPlatform()), /^linux\/(amd64|arm64|arm\/v\d|386|ppc64le|s390x|riscv64|loong64)$/);
});
