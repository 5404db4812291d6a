/** A terminal of the container's own, joined with the user's: script(1) is the user. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { busyboxStore, needsContainers } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";

const skip = needsContainers === false ? requires("program:script") : needsContainers;

test("with -it the command has a terminal of its own, of the user's size, and its exit code comes back", {
  skip,
}, async () => {
  await using store = busyboxStore();
  const inner = "tty; stty size; ls /dev/console; read line; echo got $line; exit 5";
  const command = `stty rows 33 cols 99; ${LAYERCTL} --root ${store.root} run --rm -it -u app bb:1 sh -c '${inner}'`;
  const { status, stdout } = spawnSync("script", ["-qec", command, "/dev/null"], {
    input: "typed\n",
    encoding: "utf8",
  });
  const printed = stdout.split("\r\n").filter((line) => line !== "typed"); // what both terminals echo, at any time
  assert.deepEqual(printed, ["/dev/pts/0", "33 99", "/dev/console", "got typed", ""]);
  assert.equal(status, 5);
});

test("-it without a terminal is refused, and -t alone is not", { skip }, async () => {
  await using store = busyboxStore();
  const refused = store.inside(["-it", "bb:1", "true"]);
  assert.equal(refused.exitCode, 125);
  assert.match(refused.stderr, /ERR_NO_TERMINAL/);
  assert.equal(store.inside(["-t", "bb:1", "tty"]).stdout.toString(), "/dev/pts/0\r\n");
});
