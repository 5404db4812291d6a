/** What works on a snapshot works on a container, whether it runs or not: diff, commit, cp and mount. */

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { busyboxStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { requires } from "../helpers/requires.ts";

for (const runtime of [[], ["--runtime", "crun"], ["--runtime", "runc"]]) {
  const name = runtime[1] ?? "layerctl itself";
  const skip = needsContainers === false && runtime.length > 0 ? requires(`program:${name}`) : needsContainers;

  test(`a container of ${name} is diffed, committed, copied and mounted, running and ended`, { skip }, async () => {
    await using store = busyboxStore();
    store.ok("run", "-d", "--name", "c", ...runtime, "bb:1", "sleep", "1000");
    store.ok("exec", "c", "sh", "-c", "echo made >/made; rm /etc/group");
    const changes = /^(?:C \/\n)?C \/etc\nD \/etc\/group\n(?:A \/from-running\n)?A \/made$/;
    const check = (state: string): string => {
      assert.match(store.ok("diff", "c"), changes, state);
      store.ok("commit", "c", `bb:${state}`);
      assert.equal(
        store.ok("run", "--rm", `bb:${state}`, "sh", "-c", "cat /made; ls /etc/group 2>&1 | wc -l"),
        "made\n1",
      );
      store.ok("cp", "c:/made", join(store.path, state));
      assert.equal(readFileSync(join(store.path, state), "utf8"), "made\n");
      const target = store.ok("mount", "c");
      assert.equal(readFileSync(join(target, "made"), "utf8"), "made\n");
      writeFileSync(join(target, `from-${state}`), "outside\n");
      return target;
    };
    const target = check("running");
    assert.equal(store.ok("exec", "c", "cat", "/from-running"), "outside");
    for (const args of [
      ["umount", "c"],
      ["umount", target],
      ["mount", "c", "--ro"],
      ["mount", "c", join(store.path, "at")],
    ]) {
      const outcome = store.run(args);
      assert.deepEqual([outcome.exitCode, /ERR_CONTAINER_RUNNING/.test(outcome.stderr)], [4, true], args.join(" "));
    }
    assert.ok(existsSync(join(target, "made")), "it is mounted as before");
    store.ok("stop", "-t", "0", "c");
    check("ended");
    const busy = store.run(["start", "c"]);
    assert.deepEqual([busy.exitCode, /ERR_SNAPSHOT_MOUNTED/.test(busy.stderr)], [4, true]);
    store.ok("umount", "c");
    store.ok("start", "c");
    assert.equal(store.ok("exec", "c", "cat", "/from-ended"), "outside");
    store.ok("rm", "-f", "c");
    assert.deepEqual(tracesOf(store), []);
  });
}
