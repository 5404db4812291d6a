import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import test from "node:test";
import { close, mkdirAt, O_DIRECTORY, O_RDONLY, openAt } from "../../../../src/sys/file.ts";
import { removeTree } from "../../../../src/sys/remove-tree.ts";
import { requires } from "../../../helpers/requires.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

test("a tree with names of any bytes and links out of it goes, and what the links point to stays", async () => {
  await using directory = temporaryDirectory();
  mkdirSync(`${directory.path}/outside/kept`, { recursive: true });
  mkdirSync(`${directory.path}/tree/a/b`, { recursive: true });
  symlinkSync("../outside", `${directory.path}/tree/link`);
  symlinkSync("nowhere", `${directory.path}/tree/a/broken`);
  writeFileSync(Buffer.from(`${directory.path}/tree/a/b/\xff\xfe`, "latin1"), "x");
  removeTree(directory.host("tree"));
  removeTree(directory.host("tree")); // nothing there is fine
  assert.deepEqual(readdirSync(directory.path), ["outside"]);
  assert.equal(existsSync(`${directory.path}/outside/kept`), true);
});

test("a tree deeper than PATH_MAX and the limit of open files goes", async () => {
  await using directory = temporaryDirectory();
  mkdirSync(`${directory.path}/tree`);
  let fd = openAt(-100, directory.host("tree"), O_RDONLY | O_DIRECTORY);
  for (let depth = 0; depth < 3000; depth += 1) {
    mkdirAt(fd, "directory", 0o755);
    mkdirAt(fd, ".moved-up-1", 0o755);
    const next = openAt(fd, "directory", O_RDONLY | O_DIRECTORY);
    close(fd);
    fd = next;
  }
  close(fd);
  removeTree(directory.host("tree"));
  assert.deepEqual(readdirSync(directory.path), []);
});

test("what is mounted inside is not emptied", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  mkdirSync(`${directory.path}/outside`);
  mkdirSync(`${directory.path}/tree/a/mounted`, { recursive: true });
  writeFileSync(`${directory.path}/outside/kept`, "");
  execFileSync("mount", ["--bind", `${directory.path}/outside`, `${directory.path}/tree/a/mounted`]);
  try {
    for (const path of ["tree", "tree/a/mounted"]) {
      assert.throws(() => removeTree(directory.host(path)), { code: "EBUSY" });
    }
    assert.equal(existsSync(`${directory.path}/outside/kept`), true);
  } finally {
    execFileSync("umount", [`${directory.path}/tree/a/mounted`]);
  }
});

test("without root, directories their owner may not write go too", { skip: requires("root") }, async () => {
  const base = mkdtempSync("/tmp/layerctl-test-");
  const module = new URL("../../../../src/sys/remove-tree.ts", import.meta.url).href;
  const script = `import { removeTree } from ${JSON.stringify(module)};
    process.setgid(65534); process.setuid(65534); removeTree(process.argv[1]);`;
  try {
    execFileSync("sh", ["-c", `mkdir -p ${base}/t/a/b; touch ${base}/t/a/b/c; chmod 0 ${base}/t/a/b ${base}/t/a`]);
    execFileSync("chown", ["-R", "65534:65534", base]);
    execFileSync(process.execPath, ["--input-type=module", "-e", script, `${base}/t`], { stdio: "inherit" });
    assert.deepEqual(readdirSync(base), []);
  } finally {
    execFileSync("rm", ["-rf", base]);
  }
});
