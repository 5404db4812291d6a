import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import type { LayerDiff } from "../../../../layers/diff/change.ts";
import { diffTrees } from "../../../../layers/diff/tree-diff.ts";
import { diffUpper, type UpperDiff } from "../../../../layers/diff/upper-diff.ts";
import { MergedTree } from "../../../../src/overlay/merged-tree.ts";
import { bytesFromText, display, type HostPath, joinHost } from "../../../../src/paths.ts";
import { AT_FDCWD, chmod, setTimes } from "../../../../src/sys/file.ts";
import { setXattr } from "../../../../src/sys/xattr.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { writableNamespace as namespace, writeLayers, writeTree } from "../../../helpers/tree.ts";

/** As `layerctl diff` prints it, with what changed; directories whose mtime alone differs are left out. */
function lines(diff: LayerDiff): string {
  return diff.changes
    .filter(({ kind, what }) => kind !== "C" || what.join() !== "mtime")
    .map(({ kind, path, what }) => [kind, `/${display(path)}`, what.filter((aspect) => aspect !== "mtime").join("+")])
    .map((words) => words.filter((word) => word !== "").join(" "))
    .join(", ");
}

interface Stack {
  readonly lowerdirs: readonly HostPath[];
  readonly upperdir: HostPath;
}

function diffOf({ lowerdirs, upperdir }: Stack): UpperDiff {
  const lower = new MergedTree(lowerdirs, { namespace });
  const merged = new MergedTree([upperdir, ...lowerdirs], { namespace });
  return diffUpper({ upperdir, lower, merged, namespace });
}

function makeStack(directory: { host(name: string): HostPath }, lower: readonly string[], upper: string): Stack {
  const upperdir = directory.host("upper");
  const lowerdirs = writeLayers(directory.host("lower"), lower);
  writeTree(upperdir, upper);
  return { lowerdirs, upperdir };
}

async function listing(lower: readonly string[], upper: string): Promise<string> {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, lower, upper);
  return lines(diffOf(stack));
}

test("new, changed and deleted names are listed by the bytes of their paths", async () => {
  const found = await listing(["a/x=1 a/y=1 b=1 a-b=1"], "a/x=22 -a/y a-b=22 -b c/d/e=1");
  assert.equal(found, "C /a-b size+content, C /a/x size+content, D /a/y, D /b, A /c, A /c/d, A /c/d/e");
});

test("two thousand directories in each other are compared, as both diffs do it", async () => {
  await using directory = temporaryDirectory();
  const upperdir = directory.host("upper");
  mkdirSync(upperdir);
  execFileSync("mkdir", ["-p", "d/".repeat(2000)], { cwd: upperdir });
  const merged = new MergedTree([upperdir], { namespace });
  const deepest = (diff: LayerDiff): number | undefined => diff.changes.at(-1)?.path.length;
  assert.equal(deepest(diffUpper({ upperdir, lower: null, merged, namespace })), 3999);
  assert.equal(deepest(diffTrees(null, merged)), 3999);
});

test("a whiteout of a name that the lower tree does not have is dropped", async () => {
  assert.equal(await listing(["a/x=1"], "-nothing -a/nothing a/z=1"), "A /a/z");
});

test("an opaque directory deletes every lower name that it does not have itself", async () => {
  assert.equal(await listing(["a/x=1 a/y/z=1 a/w=1"], "a/! a/x=2 -a/w"), "D /a/w, C /a/x content, D /a/y");
});

test("a directory inside an opaque one hides what it does not have", async () => {
  assert.equal(await listing(["a/b/x=1 a/b/y=1"], "a/! a/b/x=2"), "C /a/b/x content, D /a/b/y");
});

test("an opaque directory over nothing is only new", async () => {
  assert.equal(await listing(["b=1"], "a/! a/x=1"), "A /a, A /a/x");
});

test("a directory in place of a file, and a file in place of a directory, change in type", async () => {
  assert.equal(await listing(["f=1 d/x=1"], "f/x=1 d=1"), "C /d type, C /f type, A /f/x");
});

test("a symbolic link changes in target, and is never followed", async () => {
  assert.equal(await listing(["l->a a/x=1 m->a"], "l->b m->a"), "C /l target");
});

test("a redirected directory is listed in full at its new path", async () => {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, ["a/x=1 a/s/y=1 a/z=1"], "-a b/x=22 -b/z");
  setXattr(joinHost(stack.upperdir, "b"), `${namespace}.overlay.redirect`, Buffer.from("a"));
  assert.equal(lines(diffOf(stack)), "D /a, A /b, A /b/s, A /b/s/y, A /b/x");
});

test("a directory redirected to where an older one was is compared with that", async () => {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, ["a/x=1 a/q=1 b/x=2 b/r=1"], "-a b/!");
  setXattr(joinHost(stack.upperdir, "b"), `${namespace}.overlay.redirect`, Buffer.from("/a"));
  // opaque and redirected at once does not occur: the kernel makes one or the other
  execFileSync("setfattr", ["-x", `${namespace}.overlay.opaque`, joinHost(stack.upperdir, "b")]);
  assert.equal(lines(diffOf(stack)), "D /a, A /b/q, D /b/r, C /b/x content");
});

test("a metacopy file changes in its metadata only, and has its content from below", async () => {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, ["f=content"], "");
  const copy = joinHost(stack.upperdir, "f");
  execFileSync("cp", ["-a", joinHost(stack.lowerdirs[0] ?? ("" as HostPath), "f"), copy]);
  execFileSync("truncate", ["-s", "0", copy]);
  execFileSync("truncate", ["-s", "7", copy]);
  execFileSync("touch", ["-r", joinHost(stack.lowerdirs[0] ?? ("" as HostPath), "f"), copy]);
  chmod(AT_FDCWD, copy, 0o600);
  setXattr(copy, `${namespace}.overlay.metacopy`, Buffer.alloc(0));
  const diff = diffOf(stack);
  assert.equal(lines(diff), "C /f mode");
  assert.equal(
    diff.changes.find(({ path }) => path === "f")?.node?.dataPath,
    joinHost(stack.lowerdirs[0] ?? ("" as HostPath), "f"),
  );
});

test("a copied-up file that is equal in everything is not a change, one that differs by a nanosecond is", async () => {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, ["f=1 d/g=1"], "");
  execFileSync("cp", ["-a", `${stack.lowerdirs[0]}/.`, stack.upperdir]);
  setXattr(joinHost(stack.upperdir, "f"), `${namespace}.overlay.origin`, Buffer.from("x"));
  assert.deepEqual(diffOf(stack).changes, []);
  setTimes(AT_FDCWD, joinHost(stack.upperdir, "d/g"), 0n, 1n);
  const changes = diffOf(stack).changes.map(({ kind, path, what }) => `${kind} ${path} ${what.join()}`);
  assert.deepEqual(changes, ["C d/g mtime"]);
  assert.deepEqual(
    diffOf(stack).parents.map((node) => node.path),
    ["d"],
    "the directory above is needed in a tar, though it has not changed",
  );
});

test("an extended attribute is a change, an escaped one under the name that the mount shows", async () => {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, ["f=1 g=1"], "");
  execFileSync("cp", ["-a", `${stack.lowerdirs[0]}/.`, stack.upperdir]);
  setXattr(joinHost(stack.upperdir, "f"), "user.note", Buffer.from([0, 255, 10]));
  setXattr(joinHost(stack.upperdir, "g"), `${namespace}.overlay.overlay.opaque`, Buffer.from("y"));
  const diff = diffOf(stack);
  assert.equal(lines(diff), "C /f xattr, C /g xattr");
  assert.deepEqual([...(diff.changes[1]?.node?.xattrs ?? [])].map(String), [`${namespace}.overlay.opaque,y`]);
});

test("names that share a file in the upperdir change together", async () => {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, ["x=1 z=1"], "");
  execFileSync("cp", ["-a", `${stack.lowerdirs[0]}/x`, `${stack.lowerdirs[0]}/z`, stack.upperdir]);
  linkSync(joinHost(stack.upperdir, "x"), joinHost(stack.upperdir, "y"));
  assert.equal(lines(diffOf(stack)), "C /x links, A /y");
});

/** A lower file "a" that is "d/b" and "d/c" too; the upperdir has equal files of its own at these names, links of one or not. */
async function withEqual(...names: readonly (readonly string[])[]): Promise<{ upper: string; trees: string }> {
  await using directory = temporaryDirectory();
  const { lowerdirs, upperdir } = makeStack(directory, ["a=1"], "");
  const [lower = upperdir] = lowerdirs;
  mkdirSync(joinHost(lower, "d"));
  mkdirSync(joinHost(upperdir, "d"));
  for (const name of ["d/b", "d/c"]) linkSync(joinHost(lower, "a"), joinHost(lower, name));
  for (const [first = "", ...others] of names) {
    execFileSync("cp", ["-p", "--parents", first, upperdir], { cwd: lower });
    for (const name of others) linkSync(joinHost(upperdir, first), joinHost(upperdir, name));
  }
  const merged = (...layers: readonly HostPath[]): MergedTree => new MergedTree(layers, { namespace });
  const trees = lines(diffTrees(merged(lower), merged(upperdir, lower)));
  return { upper: lines(diffOf({ lowerdirs, upperdir })), trees };
}

test("an equal file in the place of one name of several has parted from the others, and is a change", async () => {
  const listed = { upper: "C /a links", trees: "C /a links" };
  assert.deepEqual(await withEqual(["a"]), listed);
  assert.deepEqual(await withEqual(["d/b", "d/c"]), listed, "whichever is the copy: one entry does it");
  assert.deepEqual(await withEqual(["a"], ["d/b", "d/c"]), listed);
  assert.deepEqual(await withEqual(["a", "d/b", "d/c"]), { upper: "", trees: "" }, "they are one file still");
});

test("sockets, and names that would be whiteouts in a layer, are reported and not listed", async () => {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, ["s=1"], ".wh.x=1 .wh.d/y=1");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(joinHost(stack.upperdir, "s"), resolve));
  try {
    const diff = diffOf(stack);
    assert.equal(lines(diff), "D /s");
    assert.deepEqual(
      diff.skipped.map(({ path, reason }) => `${path} ${reason}`),
      [".wh.d reserved-name", ".wh.x reserved-name", "s socket"],
    );
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test("names that are not UTF-8 stay what they are", async () => {
  await using directory = temporaryDirectory();
  const upperdir = directory.host("upper");
  const lower = directory.host("lower");
  mkdirSync(upperdir);
  mkdirSync(lower);
  writeFileSync(Buffer.concat([Buffer.from(`${upperdir}/`), Buffer.from([0xff, 0xfe])]), "");
  const paths = diffOf({ lowerdirs: [lower], upperdir }).changes.map((change) => change.path);
  assert.deepEqual(
    paths.filter((path) => path !== ""),
    ["\xff\xfe"],
  ); // the root's time may or may not differ
  assert.equal(bytesFromText("ÿ"), "\xc3\xbf"); // what a name that was decoded and encoded again would be
});

test("what the upperdir depends on is recorded, so that a change under the walk can be told", async () => {
  await using directory = temporaryDirectory();
  const stack = makeStack(directory, ["a/x=1"], "a/y=1");
  const seen = diffOf(stack).seen.map(({ hostPath }) => hostPath.slice(stack.upperdir.length));
  assert.deepEqual(seen, ["/.", "/a", "/a/y"]);
});

const names = fc.constantFrom("a", "b", "c", "a-", "d");
const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const words = fc.oneof(
  fc.tuple(paths, fc.constantFrom("1", "2")).map(([path, content]) => `${path}=${content}`),
  paths.map((path) => `${path}/`),
  paths.map((path) => `${path}/!`),
  paths.map((path) => `-${path}`),
);

/** Leaves out the words that contradict an earlier one, as a file and a directory of one name. */
function consistent(list: readonly string[]): string {
  const kinds = new Map<string, string>();
  return list
    .filter((word) => {
      const path = word.replace(/^-|\/!?$|=.*$/g, "");
      const isDirectory = word.endsWith("/") || word.endsWith("/!");
      const parents = path.split("/").map((_, at, all) => all.slice(0, at).join("/"));
      if (parents.some((parent) => parent !== "" && (kinds.get(parent) ?? "directory") !== "directory")) return false;
      if (kinds.has(path) && !(isDirectory && kinds.get(path) === "directory")) return false;
      for (const parent of parents) if (parent !== "") kinds.set(parent, "directory");
      kinds.set(path, isDirectory ? "directory" : "leaf");
      return true;
    })
    .join(" ");
}

test("the diff of an upperdir is the diff of the two trees", async () => {
  const layer = fc.array(words, { maxLength: 8 }).map(consistent);
  await fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 3 }), layer, async (lower, upper) => {
      await using directory = temporaryDirectory();
      const { lowerdirs, upperdir } = makeStack(directory, lower, upper);
      const merged = new MergedTree([upperdir, ...lowerdirs], { namespace });
      const expected = diffTrees(new MergedTree(lowerdirs, { namespace }), merged);
      const actual = diffOf({ lowerdirs, upperdir });
      const plain = (diff: LayerDiff): unknown =>
        diff.changes.map(({ kind, path, what, sizeBytes }) => ({ kind, path, what, sizeBytes }));
      assert.deepEqual(plain(actual), plain(expected));
      const paths = (diff: LayerDiff): unknown => diff.parents.map((node) => node.path);
      assert.deepEqual(paths(actual), paths(expected));
    }),
    { numRuns: 60 },
  );
});
