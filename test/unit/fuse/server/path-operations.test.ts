import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { Counters } from "../../../../fuse/server/counters.ts";
import { PathOperations } from "../../../../fuse/server/path-operations.ts";
import { O_RDWR } from "../../../../src/sys/file.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { openUnion, writeScene } from "../../../helpers/union-scene.ts";

/** As libfuse calls an open file that is to be removed. */
const HIDDEN = ".fuse_hidden0000000700000001";

function text(operations: PathOperations, handle: number): string {
  const buffer = Buffer.alloc(16);
  return buffer.toString("latin1", 0, operations.read(handle, buffer, 0));
}

function names(operations: PathOperations, path: string): string {
  return [...operations.list(path)]
    .map(({ name }) => name)
    .filter((name) => !/^\.\.?$/.test(name))
    .sort()
    .join(" ");
}

test("an open file that libfuse would hide is gone from its directory, and is read, written and looked at until it is closed", async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["d/f=1"]));
  const operations = new PathOperations(union, new Counters());
  const handle = operations.open("/d/f", O_RDWR);
  operations.rename("/d/f", `/d/${HIDDEN}`);
  assert.equal(names(operations, "/d"), "");
  operations.rmdir("/d");
  operations.write(handle, Buffer.from("2"), 1);
  operations.change(`/d/${HIDDEN}`, { mode: 0o600 });
  assert.equal(text(operations, handle), "12");
  const { nlink, mode } = operations.openAttributes(handle);
  assert.deepEqual([nlink, mode & 0o777], [0, 0o600]);
  operations.release(handle);
  assert.throws(() => operations.attributes(`/${HIDDEN}`), { code: "ENOENT" });
  assert.equal(union.nodes.size, 1, "the root is left");
  assert.deepEqual(readdirSync(directory.host("work", "work")), ["#whiteout"], "what whiteouts are links to");
});

test("two names of one open file may be hidden, and the file stays until the last of its descriptors is closed", async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["f=1"]));
  const operations = new PathOperations(union, new Counters());
  operations.link("/f", "/g");
  const [one, two] = [operations.open("/f", O_RDWR), operations.open("/g", O_RDWR)];
  operations.rename("/f", `/${HIDDEN}`);
  operations.rename("/g", "/.fuse_hidden0000000800000002");
  operations.release(one);
  operations.unlink(`/${HIDDEN}`);
  assert.equal(text(operations, two), "1");
  operations.release(two);
  assert.equal(union.nodes.size, 1);
});

test("a file that is not open is renamed to such a name as to any other, and so is one that libfuse does not hide", async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["f=1 g=1 h=1 d/"]));
  const operations = new PathOperations(union, new Counters());
  operations.rename("/f", `/${HIDDEN}`);
  const handles = [operations.open("/g", O_RDWR), operations.open("/h", O_RDWR)];
  operations.rename("/g", "/.fuse_hidden000000070000ffff"); // not its next
  operations.rename("/h", `/d/${HIDDEN}`); // it stays in a directory
  for (const handle of handles) operations.release(handle);
  assert.equal(names(operations, "/"), `${HIDDEN} .fuse_hidden000000070000ffff d`);
  assert.equal(names(operations, "/d"), HIDDEN);
});

test("of many files that are asked for a few stay known, and all of them answer", async () => {
  await using directory = temporaryDirectory();
  const files = Array.from({ length: 50 }, (_, at) => `d${at % 7}/f${at}`);
  using union = openUnion(writeScene(directory, [files.map((path) => `${path}=1`).join(" ")]));
  const operations = new PathOperations(union, new Counters(), 3);
  const handle = operations.open(`/${files[0]}`, O_RDWR);
  for (const path of [...files, ...files]) {
    operations.change(`/${path}`, { mode: 0o640 });
    assert.equal(operations.attributes(`/${path}`).mode & 0o777, 0o640);
    assert.throws(() => operations.attributes(`/${path}.none`), { code: "ENOENT" });
  }
  assert.ok(union.nodes.size <= 12, String(union.nodes.size)); // three, the open one, the directories above, the root
  assert.equal(text(operations, handle), "1");
  operations.release(handle);
});

test("what was removed takes no space: nothing holds it open", async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["a=1 b=1 d/"]));
  const operations = new PathOperations(union, new Counters());
  operations.release(operations.create("/new", 0o644));
  operations.unlink("/new");
  operations.rename("/a", "/b");
  operations.rmdir("/d");
  assert.deepEqual(
    [...union.nodes].filter((node) => node.isOrphan),
    [],
  );
});

test("a descriptor that is closed is refused", async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["a=1"]));
  const operations = new PathOperations(union, new Counters());
  const handle = operations.open("/a", O_RDWR);
  operations.release(handle);
  for (const call of [() => operations.release(handle), () => text(operations, handle)]) {
    assert.throws(call, { code: "EBADF" });
  }
});
