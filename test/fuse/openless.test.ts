/** A read-only mount without passthrough, as a user has it: the kernel opens files and closes them without asking. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import type { Statistics } from "../../fuse/server/counters.ts";
import { STATISTICS_XATTR } from "../../src/sys/fuse-device.ts";
import { mountFuse } from "../helpers/fuse-mount.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeLayers } from "../helpers/tree.ts";

test("a read-only mount without passthrough asks for content once, and for no open and no close", {
  skip: requires("root", "fuse", "program:getfattr"),
}, async () => {
  await using directory = temporaryDirectory();
  const names = Array.from({ length: 200 }, (_, at) => `f${at}`);
  const layers = writeLayers(directory.host(), [names.map((name) => `${name}=${name}`).join(" "), "f0=0 f1="]);
  await using mount = await mountFuse(`lowerdir=${layers.join(":")},passthrough=off`, directory.host("."));
  const requests = (): Statistics["requests"] =>
    (JSON.parse(mount.sh(`getfattr --only-values -n ${STATISTICS_XATTR} .`)) as Statistics).requests;
  assert.equal(mount.sh("cat f*"), `0${names.slice(2).sort().join("")}`);
  const { open = 0, release = 0, read = 0 } = requests();
  assert.deepEqual([open, release], [1, 0]);
  assert.equal(mount.sh("cat f0 f2; wc -c <f1; tail -c 2 f199"), "0f20\n99");
  assert.equal(requests().read, read);
  assert.ok(readdirSync(`/proc/${mount.server.pid}/fd`).length < 100, "the server keeps none of them open");
  assert.throws(() => mount.sh("echo 1 >f0"), /Read-only/);
  await mount.unmount();
});
