/** Names, users and commands are found in a tree as in a root, whatever links it has. */

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { checkCommand } from "../../../../src/exec/command.ts";
import { makeDirectory, makeFile } from "../../../../src/exec/in-root.ts";
import { findUser } from "../../../../src/exec/names.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../../../src/sys/file.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";

/** A tree with these files ("path=content", executable below bin/), open as a root. */
async function withRoot(
  files: Readonly<Record<string, string>>,
  act: (root: number, directory: TemporaryDirectory) => void,
): Promise<void> {
  await using directory = temporaryDirectory();
  const tree = join(directory.path, "tree");
  mkdirSync(tree);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
    if (path.startsWith("bin/")) chmodSync(join(tree, path), 0o755);
  }
  const root = openAt(AT_FDCWD, directory.host("tree"), O_PATH | O_DIRECTORY);
  try {
    act(root, directory);
  } finally {
    close(root);
  }
}

test("a user is a name, a number, or both with a group, as docker has it", async () => {
  const files = {
    "etc/passwd": "root:x:0:0::/root:\napp:x:1000:100::/home/app:\n7:x:1007:1007::/seven:\nbroken\n",
    "etc/group": "root:x:0:\nusers:x:100:\nextra:x:77:x,app\nmore:x:78:app\n",
  };
  await withRoot(files, (root) => {
    const user = (text: string): unknown => {
      const { uid, gid, additionalGids, home } = findUser(root, text);
      return [uid, gid, [...additionalGids], home];
    };
    assert.deepEqual(user(""), [0, 0, [], "/root"]);
    assert.deepEqual(user("app"), [1000, 100, [77, 78], "/home/app"]);
    assert.deepEqual(user("1000"), [1000, 100, [77, 78], "/home/app"]);
    assert.deepEqual(user("app:extra"), [1000, 77, [], "/home/app"]);
    assert.deepEqual(user("5:6"), [5, 6, [], "/"]);
    assert.deepEqual(user("7"), [1007, 1007, [], "/seven"]);
    assert.throws(() => user("nobody"), { code: "ERR_USER_NOT_FOUND" });
    assert.throws(() => user("app:none"), { code: "ERR_GROUP_NOT_FOUND" });
    assert.throws(() => user("99999999999"), { code: "ERR_USER_FORMAT" });
  });
  await withRoot({}, (root) => {
    assert.deepEqual(findUser(root, "3:4"), { uid: 3, gid: 4, additionalGids: [], home: "/" });
    assert.throws(() => findUser(root, "root"), { code: "ERR_USER_NOT_FOUND" });
  });
});

test("a passwd that is a link out of the tree is looked for inside it", async () => {
  await withRoot({}, (root, { path }) => {
    writeFileSync(join(path, "passwd"), "evil:x:0:0::/:\n");
    mkdirSync(join(path, "tree/etc"));
    symlinkSync(join(path, "passwd"), join(path, "tree/etc/passwd"));
    assert.throws(() => findUser(root, "evil"), { code: "ERR_USER_NOT_FOUND" });
  });
});

test("a command is looked for as execvp does, and its interpreters too", async () => {
  const files = {
    "bin/tool": "\x7fELF",
    "bin/script": "#! /bin/tool -x\n",
    "bin/lost": "#!/no/interpreter\n",
    "bin/loop": "#!/bin/loop\n",
    "opt/plain": "",
  };
  await withRoot(files, (root) => {
    const check = (command: string, path = "/sbin:/bin", cwd = "/"): void =>
      checkCommand(root, command, cwd, [`PATH=${path}`]);
    for (const command of ["tool", "script", "/bin/tool", "./bin/tool", "../bin/tool"]) check(command);
    check("tool", "bin", "/");
    check("./tool", "", "/bin");
    for (const command of ["none", "", "/bin/none"]) {
      assert.throws(() => check(command), { code: "ERR_COMMAND_NOT_FOUND" }, command);
    }
    for (const command of ["/opt/plain", "/opt", "lost", "loop"]) {
      assert.throws(() => check(command), { code: "ERR_COMMAND_NOT_EXECUTABLE" }, command);
    }
  });
});

test("directories and files are made inside the tree, and what is there stays", async () => {
  await withRoot({ "there/file": "x" }, (root, { path }) => {
    symlinkSync(path, join(path, "tree/out"));
    mkdirSync(join(path, "tree", path), { recursive: true });
    makeDirectory(root, "/a/b/c");
    makeDirectory(root, "/out/made");
    makeFile(root, "/there/file");
    makeFile(root, "/x/y/file");
    assert.deepEqual(readdirSync(join(path, "tree/a/b")), ["c"]);
    assert.deepEqual(readdirSync(join(path, "tree", path)), ["made"], "the link is followed inside");
    assert.deepEqual(readdirSync(path), ["tree"], "nothing is made outside");
    assert.deepEqual(readdirSync(join(path, "tree/x/y")), ["file"]);
    assert.throws(() => makeDirectory(root, "/there/file/below"), { code: "ENOTDIR" });
  });
});
