import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { type MountInterface, mountOverlay } from "../../src/mount/kernel-overlay.ts";
import { findMount, overlayDirectories } from "../../src/mount/mount-info.ts";
import type { MountSpec } from "../../src/mount/mount-spec.ts";
import { hasVolatileMark, removeVolatileMark } from "../../src/overlay/volatile-mark.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { umount } from "../../src/sys/mount.ts";
import { requires } from "../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../helpers/temporary.ts";
import { listTree, writeTree } from "../helpers/tree.ts";

const skip = requires("root");
const INTERFACES: readonly MountInterface[] = ["fsopen", "mount"];

function specIn(directory: TemporaryDirectory, layers: readonly string[], more: Partial<MountSpec> = {}): MountSpec {
  const lowerdirs = layers.map((notation, index) => {
    writeTree(directory.host(`l${index}`), notation);
    return directory.host(`l${index}`);
  });
  for (const name of ["upper", "work", "target"]) mkdirSync(bytesOf(directory.host(name)), { recursive: true });
  return {
    lowerdirs: lowerdirs.reverse(),
    upperdir: directory.host("upper"),
    workdir: directory.host("work"),
    target: directory.host("target"),
    readOnly: false,
    options: {},
    ...more,
  };
}

function whileMounted<T>(spec: MountSpec, use: MountInterface, action: () => T): T {
  mountOverlay(spec, use);
  try {
    return action();
  } finally {
    umount(spec.target);
  }
}

for (const use of INTERFACES) {
  test(`a stack is mounted, changed and its changes stay in the upperdir (${use})`, { skip }, async () => {
    await using directory = temporaryDirectory();
    const spec = specIn(directory, ["a/x=1 a/y=2", "a/y=3"]);
    whileMounted(spec, use, () => {
      assert.equal(listTree(spec.target), "a/ a/x=1 a/y=3");
      assert.equal(findMount(spec.target)?.source, "layerctl");
      writeTree(spec.target, "a/new=4");
    });
    assert.equal(listTree(directory.host("upper")), "a/ a/new=4");
    assert.equal(findMount(spec.target), null);
  });

  test(`a read-only view refuses writes (${use})`, { skip }, async () => {
    await using directory = temporaryDirectory();
    const spec = specIn(directory, ["a=1", "b=2"], { upperdir: null, workdir: null, readOnly: true });
    whileMounted(spec, use, () => {
      assert.equal(listTree(spec.target), "a=1 b=2");
      assert.throws(() => writeTree(spec.target, "c=3"), { code: "EROFS" });
    });
  });

  test(`paths may hold any characters, and are read back from the mount table (${use})`, { skip }, async () => {
    await using directory = temporaryDirectory();
    const odd = directory.host("a b,c:d\\e\n\xff=#");
    const names = ["low:er,", "upp:er,\\", "wo rk", "tar\tget"].map((name) => joinHost(odd, name));
    for (const name of names) mkdirSync(bytesOf(name), { recursive: true });
    const [lower = odd, upperdir = odd, workdir = odd, target = odd] = names;
    writeTree(lower, "f=1");
    const spec: MountSpec = { lowerdirs: [lower], upperdir, workdir, target, readOnly: false, options: {} };
    whileMounted(spec, use, () => {
      assert.equal(listTree(target), "f=1");
      const mount = findMount(target);
      assert.ok(mount);
      assert.deepEqual(overlayDirectories(mount), { lowerdirs: [lower], upperdir, workdir });
    });
  });

  test(`five hundred layers are mounted, one more is refused before trying (${use})`, { skip }, async () => {
    await using directory = temporaryDirectory();
    const layers = Array.from({ length: 501 }, (_, index) => `f${index % 7}=${index}`);
    const spec = specIn(directory, layers);
    assert.throws(() => mountOverlay(spec, use), { code: "ERR_TOO_MANY_LAYERS" });
    const cwd = process.cwd();
    whileMounted({ ...spec, lowerdirs: spec.lowerdirs.slice(0, 500) }, use, () => {
      assert.equal(listTree(spec.target), "f0=497 f1=498 f2=499 f3=500 f4=494 f5=495 f6=496");
    });
    assert.equal(process.cwd(), cwd);
  });

  test(`paths of thousands of bytes are mounted (${use})`, { skip }, async () => {
    await using directory = temporaryDirectory();
    const deep = (name: string): HostPath => {
      const path = joinHost(directory.host(name), ...Array<string>(12).fill("x".repeat(250)));
      mkdirSync(bytesOf(path), { recursive: true });
      return path;
    };
    const lowerdirs = [deep("a"), deep("b")];
    for (const [index, lowerdir] of lowerdirs.entries()) writeTree(lowerdir, `f${index}=1`);
    const spec = specIn(directory, [], { lowerdirs, target: deep("t") });
    whileMounted(spec, use, () => assert.equal(listTree(spec.target), "f0=1 f1=1"));
  });

  test(`the kernel's words are in the error, with the option at fault (${use})`, { skip }, async () => {
    await using directory = temporaryDirectory();
    const spec = specIn(directory, ["a=1"], { workdir: "/dev/shm" as HostPath });
    assert.throws(() => mountOverlay(spec, use), {
      code: "ERR_MOUNT_REFUSED",
      message: /workdir and upperdir must reside under the same mount/,
    });
    const missing = specIn(directory, ["a=1"], { lowerdirs: [directory.host("nowhere")] });
    assert.throws(() => mountOverlay(missing, use), { code: "ENOENT" });
    const noTarget = specIn(directory, ["a=1"], { target: directory.host("nowhere") });
    assert.throws(() => mountOverlay(noTarget, use), { code: "ENOENT" });
  });

  test(`options reach the kernel (${use})`, { skip }, async () => {
    await using directory = temporaryDirectory();
    const options = { index: true, redirectDir: "on", metacopy: true, xino: "off" } as const;
    const spec = specIn(directory, ["a/x=1"], { options });
    whileMounted(spec, use, () => {
      const shown = findMount(spec.target)?.superOptions.map(([name, value]) => `${name}=${value}`) ?? [];
      for (const option of ["index=on", "redirect_dir=on", "metacopy=on"]) assert.ok(shown.includes(option), option);
    });
  });
}

test("after a volatile mount the next one is refused in words until the mark is removed", { skip }, async () => {
  await using directory = temporaryDirectory();
  const spec = specIn(directory, ["a=1"]);
  const workdir = directory.host("work");
  assert.equal(hasVolatileMark(workdir), false);
  whileMounted({ ...spec, options: { volatile: true } }, "auto", () => writeTree(spec.target, "b=2"));
  assert.equal(hasVolatileMark(workdir), true);
  assert.throws(() => mountOverlay(spec), { code: "ERR_VOLATILE_MARK" });
  assert.throws(() => mountOverlay({ ...spec, options: { volatile: true } }), { code: "ERR_VOLATILE_MARK" });
  removeVolatileMark(workdir);
  whileMounted(spec, "auto", () => assert.equal(listTree(spec.target), "a=1 b=2"));
});

test("an upperdir that another indexed mount uses is reported as in use", { skip }, async () => {
  await using directory = temporaryDirectory();
  const spec = specIn(directory, ["a=1"], { options: { index: true } });
  mkdirSync(bytesOf(directory.host("second")));
  whileMounted(spec, "auto", () => {
    assert.throws(() => mountOverlay({ ...spec, target: directory.host("second") }), { code: "ERR_MOUNT_BUSY" });
    assert.equal(findMount(directory.host("second")), null);
  });
});

test("a mount outlives the process that made it", { skip }, async () => {
  await using directory = temporaryDirectory();
  const spec = specIn(directory, ["a=1"]);
  const { execFileSync } = await import("node:child_process");
  const module = new URL("../../src/mount/kernel-overlay.ts", import.meta.url).href;
  const script = `(await import(${JSON.stringify(module)})).mountOverlay(${JSON.stringify(spec)})`;
  execFileSync(process.execPath, ["--input-type=module", "-e", script]);
  try {
    assert.equal(readFileSync(bytesOf(joinHost(spec.target, "a")), "utf8"), "1");
    writeFileSync(bytesOf(joinHost(spec.target, "b")), "2");
  } finally {
    umount(spec.target);
  }
  assert.ok(existsSync(bytesOf(directory.host("upper", "b"))));
});

test("a worker thread, which has no working directory of its own, names layers by descriptor too", {
  skip,
}, async () => {
  await using directory = temporaryDirectory();
  const layers = Array.from({ length: 150 }, (_, index) => `f${index % 3}=${index}`);
  const spec = specIn(directory, layers);
  const module = new URL("../../src/mount/kernel-overlay.ts", import.meta.url).href;
  const script = `import(${JSON.stringify(module)}).then((it) => it.mountOverlay(${JSON.stringify(spec)}, "mount"))`;
  await once(new Worker(script, { eval: true }), "exit");
  try {
    assert.equal(listTree(spec.target), "f0=147 f1=148 f2=149");
  } finally {
    umount(spec.target);
  }
  const tooMany = { ...spec, lowerdirs: Array<HostPath>(499).fill(directory.host("l0")) };
  const refused = `import(${JSON.stringify(module)}).then((it) => it.mountOverlay(${JSON.stringify(tooMany)}, "mount"))`;
  const [error] = await once(new Worker(refused, { eval: true }), "error");
  assert.equal((error as { code?: string }).code, "ERR_MOUNT_OPTIONS_TOO_LONG");
});
