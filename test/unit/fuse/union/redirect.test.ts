import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "../../../../fuse/union/create.ts";
import { isVisible } from "../../../../fuse/union/directory-index.ts";
import { lookup } from "../../../../fuse/union/lookup.ts";
import type { Node } from "../../../../fuse/union/node.ts";
import { rmdir, unlink } from "../../../../fuse/union/remove.ts";
import { rename } from "../../../../fuse/union/rename.ts";
import type { Union } from "../../../../fuse/union/union.ts";
import { isSystemError } from "../../../../src/errors.ts";
import { S_IFDIR, S_IFREG } from "../../../../src/sys/file.ts";
import { numbers } from "../../../helpers/numbers.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { writeLayers, writeTree } from "../../../helpers/tree.ts";
import { contentAt, nodeAt, openUnion, ROOT, writeOver } from "../../../helpers/union-scene.ts";

const NAMES = ["a", "b", "c"];
const BASE = "a/ a/a/ a/a/a/ a/a/a/x=1 a/b/ a/b/y=2 b/ b/c/ b/c/z=3 b/x=4 c/ c/a/ c/a/b/ c/a/b/w=5";
const [LAYERS, CALLS] = [7, 12];
/** The last ones found that an absolute redirect below an opaque directory led nowhere. */
const SEEDS = [...Array.from({ length: 20 }, (_, at) => at + 1), 218, 291];

/** Files and directories, and what the files hold. */
function listUnion(union: Union, directory: Node = union.root, path = ""): string[] {
  return [...union.indexOf(directory).listing()].filter(isVisible).flatMap(({ name }) => {
    const child = lookup(union, directory, name)?.node;
    if (child === undefined) return [`${path}${name} is listed only`];
    if (child.isDirectory) return [`${path}${name}/`, ...listUnion(union, child, `${path}${name}/`)];
    return [`${path}${name}=${contentAt(union, `${path}${name}`)}`];
  });
}

function listPlain(root: string, path = ""): string[] {
  return readdirSync(join(root, path)).flatMap((name) => {
    const at = `${path}${name}`;
    if (statSync(join(root, at)).isDirectory()) return [`${at}/`, ...listPlain(root, `${at}/`)];
    return [`${at}=${readFileSync(join(root, at), "latin1")}`];
  });
}

/** A change by path; false if it cannot be made. Made in the plain tree only if the union has made it. */
function change(union: Union, plain: string, below: (limit: number) => number, content: string): boolean {
  const pathOf = (): string => Array.from({ length: 1 + below(3) }, () => NAMES[below(3)] ?? "a").join("/");
  const [one, two] = [pathOf(), pathOf()];
  const parentOf = (path: string): [Node, string] => {
    const slash = path.lastIndexOf("/");
    return [nodeAt(union, path.slice(0, Math.max(0, slash))), path.slice(slash + 1)];
  };
  if (one.startsWith(`${two}/`) || two.startsWith(`${one}/`)) return false;
  try {
    switch (below(8)) {
      case 0:
        create(union, ROOT, ...parentOf(one), { mode: S_IFDIR | 0o755, umask: 0 });
        mkdirSync(join(plain, one));
        return true;
      case 1:
        create(union, ROOT, ...parentOf(one), { mode: S_IFREG | 0o644, umask: 0 });
        writeOver(union, one, content);
        writeFileSync(join(plain, one), content);
        return true;
      case 2: {
        const isDirectory = nodeAt(union, one).isDirectory;
        (isDirectory ? rmdir : unlink)(union, ...parentOf(one));
        rmSync(join(plain, one), { recursive: isDirectory });
        return true;
      }
      default:
        if (one === two) return false;
        rename(union, ...parentOf(one), ...parentOf(two), 0);
        renameSync(join(plain, one), join(plain, two));
        return true;
    }
  } catch (error) {
    if (!isSystemError(error) && !String(error).includes("nothing at")) throw error;
    return false;
  }
}

test("a directory that was renamed, and back in a layer above, has what it had", async () => {
  await using directory = temporaryDirectory();
  const [base = ""] = writeLayers(directory.host(), ["d/a=1 d/b/c=2"]);
  let lowers = base as string;
  for (const [from, to] of [
    ["d", "e"],
    ["e", "d"],
    ["d", "f"],
  ] as const) {
    const [upper, work] = [directory.host(`upper-${to}`), directory.host(`work-${to}`)];
    mkdirSync(upper);
    mkdirSync(work);
    using union = openUnion(`lowerdir=${lowers},upperdir=${upper},workdir=${work},aufs=off,redirect_dir=on`);
    rename(union, union.root, from, union.root, to, 0);
    lowers = `${upper}:${lowers}`;
    using next = openUnion(`lowerdir=${lowers},aufs=off`);
    assert.deepEqual(listUnion(next).sort(), [`${to}/`, `${to}/a=1`, `${to}/b/`, `${to}/b/c=2`]);
  }
});

for (const seed of SEEDS) {
  test(`directories that are moved about in layer over layer are what they are in one tree (seed ${seed})`, async () => {
    await using directory = temporaryDirectory();
    const plain = join(directory.path, "plain");
    writeTree(directory.host("plain"), BASE);
    const [base = ""] = writeLayers(directory.host(), [BASE]);
    const below = numbers(seed);
    let lowers = base as string;
    for (let layer = 1; layer <= LAYERS; layer++) {
      const [upper, work] = [directory.host(`upper${layer}`), directory.host(`work${layer}`)];
      mkdirSync(upper);
      mkdirSync(work);
      {
        using union = openUnion(`lowerdir=${lowers},upperdir=${upper},workdir=${work},aufs=off,redirect_dir=on`);
        for (let call = 0; call < CALLS; call++) change(union, plain, below, `${layer}.${call}`);
        assert.deepEqual(listUnion(union).sort(), listPlain(plain).sort(), `layer ${layer}`);
      }
      lowers = `${upper}:${lowers}`;
      using next = openUnion(`lowerdir=${lowers},aufs=off`);
      assert.deepEqual(listUnion(next).sort(), listPlain(plain).sort(), `a stack of ${layer}`);
    }
  });
}
