import assert from "node:assert/strict";
import { test } from "node:test";
import { nativeAddon } from "../../../../src/sys/native-addon.ts";

const { arch } = process;

test("the binaries of koffi and better-sqlite3 are where they are looked for, so that no start takes the long way", () => {
  const koffi = nativeAddon(`@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`);
  assert.ok(koffi !== null && typeof koffi === "object" && "load" in koffi);
  const sqlite = nativeAddon(`better-sqlite3/prebuilds/linux-${arch}.node`);
  assert.ok(sqlite !== null && typeof sqlite === "object" && "Database" in sqlite);
});

test("a file that is not there, and one that cannot be loaded, are no addon", () => {
  assert.equal(nativeAddon("no-such-package/addon.node"), null);
  assert.equal(nativeAddon("typescript/package.json"), null);
});
