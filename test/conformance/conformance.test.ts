/**
 * Every subject does what ext4 does, but for what the list of differences says. The suite itself is tested with programs
 * that mount wrongly, or not at all.
 */

import assert from "node:assert/strict";
import { release } from "node:os";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { leftovers } from "../helpers/leftovers.ts";
import { requires } from "../helpers/requires.ts";
import { check, group, refused } from "./check.ts";
import { ALL_LISTS, amongGroups, knownDifferences, surprises } from "./differences.ts";
import { GROUPS } from "./groups/index.ts";
import { subjectOf } from "./subject.ts";
import { AFTERWARDS, type Outcome, runSuite } from "./suite.ts";

/** Before it overlayfs had no O_TMPFILE, and no way to keep attributes named like its own. */
const OLDEST_KERNEL = [6, 7] as const;
const MUTE_SERVER = fileURLToPath(new URL("mute-server.ts", import.meta.url));
/** Ours, as a program; `layerctl mount` gives it the same options. */
const FUSE = `${process.execPath} dist/cli.cjs fuse -o lowerdir=%L,upperdir=%U,workdir=%W,aufs=off`;
/** The groups that depend on how content is read and written. */
const DATA = ["data", "open", "copy-up", "notify", "random"];

const skip = requires("root", "overlay", "program:getfattr");
const skipKernel = skip || (isOlder() && `the list is of Linux ${OLDEST_KERNEL.join(".")} and newer`);

function isOlder(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major < OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor < OLDEST_KERNEL[1]);
}

suite("conformance", { concurrency: 2 }, () => {
  for (const [name, reason] of [
    ["ext4", skip],
    ["kernel", skipKernel],
  ] as const) {
    test(`${name} behaves as the list of its differences from ext4 says`, { skip: reason }, async () => {
      const outcomes = await runSuite(subjectOf(name), GROUPS);
      assert.deepEqual(surprises(outcomes, knownDifferences(name)), []);
      assert.ok(outcomes.filter((outcome) => outcome.state === "passed").length > 600);
    });
  }

  test("our own over FUSE behaves as its list says", { skip: skipKernel || requires("fuse") }, async () => {
    const outcomes = await runSuite(subjectOf(`fuse=${FUSE},redirect_dir=on %M`), GROUPS);
    assert.deepEqual(surprises(outcomes, knownDifferences("fuse")), []);
    assert.ok(outcomes.filter((outcome) => outcome.state === "passed").length > 600);
  });

  test("our own over fuse-native behaves as its list says", {
    skip: skipKernel || requires("fuse", "fuse-native"),
  }, async () => {
    const command = `fuse-native=${FUSE},redirect_dir=on --transport fuse-native %M`;
    const outcomes = await runSuite(subjectOf(command), GROUPS);
    assert.deepEqual(surprises(outcomes, knownDifferences("fuse-native")), []);
    assert.ok(outcomes.filter((outcome) => outcome.state === "passed").length > 600);
  });

  for (const [name, option] of [
    ["fuse-writeback", "passthrough=off"],
    ["fuse", "passthrough=off,writeback=0"],
  ] as const) {
    test(`our own over FUSE reads and writes as its list says with ${option}`, {
      skip: skip || requires("fuse"),
    }, async () => {
      const groups = GROUPS.filter((group) => DATA.includes(group.name));
      const outcomes = await runSuite(subjectOf(`${name}=${FUSE},redirect_dir=on,${option} %M`), groups);
      assert.deepEqual(surprises(outcomes, amongGroups(knownDifferences(name), DATA)), []);
    });
  }
});

test("a difference that is not listed is a surprise, and so is a listed one that is none", () => {
  const outcome = (name: string, state: Outcome["state"]): Outcome => ({
    group: "g",
    check: name,
    state,
    reason: "why",
  });
  const outcomes = [outcome("a", "failed"), outcome("b", "failed"), outcome("c", "passed"), outcome("d", "skipped")];
  const known = [{ reason: "known", checks: ["g: b", "g: c", "g: d"] }];
  assert.deepEqual(surprises(outcomes, known), [
    "g: a\n    why",
    "g: c\n    listed as a difference, and is none any more",
  ]);
});

test("every difference is of a check that exists", () => {
  const names = GROUPS.flatMap(({ name, checks }) =>
    [...checks.map((each) => each.name), ...Object.values(AFTERWARDS)].map((each) => `${name}: ${each}`),
  );
  for (const list of ALL_LISTS) {
    const listed = list.flatMap((difference) => difference.checks);
    assert.deepEqual(
      listed.filter((each) => !names.includes(each)),
      [],
    );
    assert.equal(new Set(listed).size, listed.length);
  }
});

test("a call that fails with another errno, or does not fail, is told by its errno", () => {
  assert.throws(() => refused("ENOENT", () => process.chdir("/dev/null")), { message: /'ENOTDIR'/ });
  assert.throws(() => refused("ENOENT", () => process.chdir("/")), { message: /'done'/ });
});

test("two checks of one name are refused, since a difference could not say which", () => {
  const one = check("one", "", () => {});
  assert.throws(() => group("twice", one, one), { message: /same name/ });
});

test("a program that does not mount fails with its own words, and leaves nothing", { skip }, async () => {
  const begun = Date.now();
  const some = GROUPS.filter(({ name }) => name === "statfs");
  await assert.rejects(runSuite(subjectOf("cat /nowhere/%M"), some), { message: /No such file/ });
  assert.deepEqual(
    leftovers(begun).filter((line) => line.includes("statfs")),
    [],
  );
});

test("a file system that never answers costs its time, and leaves nothing", {
  skip: skip || requires("fuse"),
}, async () => {
  const begun = Date.now();
  const some = GROUPS.filter(({ name }) => name === "statfs");
  const outcomes = await runSuite(subjectOf(`${process.execPath} ${MUTE_SERVER} %M`), some, 1_500);
  for (const { check, state, reason } of outcomes) {
    if (check !== AFTERWARDS.lower)
      assert.match(`${state} ${reason}`, /^failed (it did not end|not reached|the tree cannot)/);
  }
  assert.deepEqual(
    leftovers(begun).filter((line) => line.includes("statfs")),
    [],
  );
});

test("a mount of something else than the layers fails its checks", { skip }, async () => {
  const some = GROUPS.filter(({ name }) => name === "statfs");
  const outcomes = await runSuite(subjectOf("mount -t tmpfs tmpfs %M"), some);
  const failed = outcomes.filter((outcome) => outcome.state === "failed").map((outcome) => outcome.check);
  assert.ok(failed.includes("the numbers of blocks and files make sense (lower)"));
  assert.ok(failed.includes(AFTERWARDS.kernel));
  assert.ok(!failed.includes(AFTERWARDS.lower));
});
