import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, rmdirSync } from "node:fs";
import test from "node:test";
import { createTemporary } from "../../../layers/content/temporary.ts";
import { acquireLock, lockExisting, removeStaleLocks, tryAcquireLock } from "../../../layers/locks.ts";
import { Store } from "../../../layers/store.ts";
import { bytesOf } from "../../../src/paths.ts";
import { temporaryDirectory } from "../../helpers/temporary.ts";

test("an exclusive lock excludes, shared locks share, and disposing twice lets go once", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const one = await acquireLock(store.layout, "gc", "shared");
  const two = await acquireLock(store.layout, "gc", "shared");
  assert.equal(tryAcquireLock(store.layout, "gc", "exclusive"), null);
  one[Symbol.dispose]();
  one[Symbol.dispose]();
  assert.equal(tryAcquireLock(store.layout, "gc", "exclusive"), null);
  two[Symbol.dispose]();
  using three = tryAcquireLock(store.layout, "gc", "exclusive");
  assert.notEqual(three, null);
});

test("who waits says so once, gets the lock when it is free, and stops when told to", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const held = await acquireLock(store.layout, "layer-00", "exclusive");
  let waits = 0;
  const waiting = acquireLock(store.layout, "layer-00", "exclusive", { onWait: () => (waits += 1) });
  await assert.rejects(acquireLock(store.layout, "layer-00", "exclusive", { signal: AbortSignal.timeout(20) }));
  assert.equal(waits, 1);
  held[Symbol.dispose]();
  await using _lock = await waiting;
});

test("a lock dies with its process", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const locks = JSON.stringify(new URL("../../../layers/locks.ts", import.meta.url).href);
  const script = `import { tryAcquireLock } from ${locks};
    globalThis.kept = tryAcquireLock({ locks: ${JSON.stringify(`${directory.path}/store/locks`)} }, "gc", "exclusive");
    console.log("held"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  assert.equal(tryAcquireLock(store.layout, "gc", "shared"), null);
  child.kill("SIGKILL");
  await once(child, "exit");
  using lock = tryAcquireLock(store.layout, "gc", "shared");
  assert.notEqual(lock, null);
});

test("removing stale lock files leaves the ones that are held", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  (await acquireLock(store.layout, "layer-01", "exclusive"))[Symbol.dispose]();
  await using _held = await acquireLock(store.layout, "layer-02", "shared");
  assert.equal(removeStaleLocks(store.layout), 1);
  assert.deepEqual(readdirSync(bytesOf(store.layout.locks)), ["layer-02"]);
});

test("a temporary is held while its owner lives and gone when it is disposed", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const temporary = createTemporary(store.layout, "layer");
  assert.equal(lockExisting(temporary.path), null);
  await temporary[Symbol.asyncDispose]();
  await temporary[Symbol.asyncDispose]();
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
});

test("a temporary that was renamed away is not missed", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const temporary = createTemporary(store.layout, "layer");
  rmdirSync(bytesOf(temporary.path));
  await temporary[Symbol.asyncDispose]();
});
