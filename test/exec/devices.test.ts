/** Which devices a container can open. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { findHierarchies } from "../../src/exec/cgroup/hierarchies.ts";
import { busyboxStore, needsContainers, tracesOf } from "../helpers/busybox.ts";

const hasDevices = findHierarchies().directoryOf("devices") !== null;
const skip = needsContainers === false && !hasDevices ? "needs the cgroup controller devices" : needsContainers;

/** Says of each device whether it can be opened for reading, and for writing. */
function probe(...paths: readonly string[]): string {
  return `for d in ${paths.join(" ")}; do
    r=; w=; (: <$d) 2>/dev/null && r=r; (: >>$d) 2>/dev/null && w=w; echo $d:$r$w; done`;
}

test("a container opens its own devices, and a device that it is given, as far as it may", { skip }, async () => {
  await using store = busyboxStore();
  const paths = ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/tty0", "/dev/loop-control"];
  assert.equal(
    store.shell(probe(...paths)),
    "/dev/null:rw\n/dev/zero:rw\n/dev/full:rw\n/dev/urandom:rw\n/dev/tty0:w\n/dev/loop-control:w", // made as files
  );
  const control = "/dev/loop-control";
  assert.equal(store.shell(`ls -l ${control} | cut -c1; ${probe(control)}`, "--device", control), `c\n${control}:rw`);
  assert.equal(store.shell(probe("/dev/x"), "--device", `${control}:/dev/x:r`), "/dev/x:r");
  assert.equal(store.shell(probe("/dev/x"), "--device", `${control}:/dev/x:w`), "/dev/x:w");
  assert.equal(store.shell(probe(control), "--privileged"), `${control}:rw`);
  assert.deepEqual(tracesOf(store), []);
});

test("what is no device of this host is refused before anything is made", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  for (const text of [
    "/dev/nosuch",
    "/etc",
    "loop0",
    "/dev/null:x",
    "/dev/null:/dev/x:rwx",
    "/dev/null:/dev/../etc/x",
  ]) {
    const { exitCode, stderr } = store.inside(["--device", text, "bb:1", "true"]);
    assert.equal(exitCode, 125, text);
    assert.match(stderr, /ERR_DEVICE/, text);
  }
  assert.equal(store.ok("ps", "-a", "--json").includes('"name"'), false);
});
