/** The JSON documents, as docs/commands.md describes their fields: programs depend on them. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { archiveOf, ociFiles } from "../helpers/image-builder.ts";
import { temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { directory, file, tar } from "../helpers/tar-builder.ts";

/** A document with each value replaced by its type; lists by what their first member is. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (value === null || typeof value !== "object") return value === null ? null : typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shapeOf(member)]));
}

const text = "string";
const count = "number";
const flag = "boolean";
const IMAGE = {
  digest: text,
  configDigest: text,
  references: [text],
  platform: { os: text, architecture: text },
  created: text,
  addedAt: text,
  layerCount: count,
  layerBytes: count,
};
const LAYER = {
  diffId: text,
  chainId: text,
  digest: text,
  mediaType: text,
  blobBytes: count,
  unpacked: { bytes: count, inodes: count },
};
const SNAPSHOT = {
  name: text,
  kind: text,
  image: text,
  reference: text,
  created: text,
  mounted: flag,
  target: text,
  backend: text,
  options: text,
};
const SHARES = { sharedBytes: count, exclusiveBytes: count };
const TOTAL = { totalBytes: count, ...SHARES, reclaimableBytes: count };
const STAT = {
  added: { count, bytes: count },
  changed: { count, bytes: count },
  deleted: { count },
};

test("every command's JSON has the documented fields", { skip: requires("root", "overlay") }, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "source.tar");
  const layer = tar(directory("etc/"), file("etc/motd", "hello\n"));
  writeFileSync(source, archiveOf(ociFiles([{ layers: [layer], reference: "localhost/a:1" }])));
  const json = (...args: readonly string[]): unknown => JSON.parse(store.ok("--json", ...args));
  const shape = (...args: readonly string[]): unknown => shapeOf(json(...args));

  assert.deepEqual(shape("import", source), { images: [{ reference: text, digest: text }] });
  assert.deepEqual(shape("images"), { images: [IMAGE] });
  assert.deepEqual(shape("layers", "a:1"), { digest: text, layers: [LAYER] });
  assert.deepEqual(shape("tag", "a:1", "b:1"), { reference: text, digest: text });
  assert.deepEqual(json("rmi", "b:1"), { untagged: ["docker.io/library/b:1"], deleted: [] });

  const mounted = json("mount", "a:1", "--name", "work") as { target: string };
  assert.deepEqual(shapeOf(mounted), { name: text, image: text, target: text, backend: text, readOnly: flag });
  writeFileSync(join(mounted.target, "etc", "motd"), "changed\n");
  assert.deepEqual(shape("mounts"), { snapshots: [SNAPSHOT] });
  const inspected = { type: text, ...SNAPSHOT, upperdir: text, workdir: text, parent: text };
  assert.deepEqual(shape("inspect", "work"), inspected);

  const { changes } = json("diff", "work") as { changes: unknown };
  assert.deepEqual(changes, [{ kind: "C", path: "/etc/motd", what: ["size", "content", "mtime"], bytes: 8 }]);
  assert.deepEqual(shape("diff", "work", "--stat"), { stat: STAT });
  assert.deepEqual(shape("commit", "work", "c:1"), {
    reference: text,
    digest: text,
    configDigest: text,
    layer: { mediaType: text, digest: text, size: count },
    diffId: text,
    tarBytes: count,
  });
  const step = { created: text, createdBy: text, author: text, comment: text };
  const history = { digest: text, history: [{ ...step, layer: { diffId: text, digest: text, blobBytes: count } }] };
  assert.deepEqual(shape("history", "c:1"), history);
  const { layers } = json("layers", "c:1") as { layers: { unpacked: unknown }[] };
  assert.equal(layers[1]?.unpacked, null, "a committed layer is not unpacked");
  assert.deepEqual(Object.keys(json("inspect", "c:1") as object).slice(-4), [
    "mediaType",
    "layers",
    "manifest",
    "config",
  ]);

  const saved = join(store.path, "saved.tar");
  assert.deepEqual(shape("save", "c:1", "-o", saved), { images: [text], output: text, format: text });
  assert.deepEqual(shape("export", "c:1", "-o", saved), { output: text, bytes: count });
  assert.deepEqual(json("umount", "work"), { name: "work", targets: [{ target: mounted.target }] });
  const usage = { digest: text, references: [text], layers: SHARES, blobs: SHARES };
  const changesOf = { name: text, bytes: count, inodes: count };
  const totals = { layers: TOTAL, blobs: TOTAL, leftoverBytes: count };
  assert.deepEqual(shape("du"), { images: [usage], snapshots: [changesOf], held: [], ...totals });
  assert.deepEqual(json("rm", "work"), { removed: ["work"] });
  const checked = { blobs: count, layers: count, images: count, snapshots: count };
  assert.deepEqual(shape("fsck"), { sound: flag, checked, findings: [] });
  assert.deepEqual(json("gc", "--dry-run"), { dryRun: true, removed: [], freedBytes: 0 });
  assert.deepEqual(json("completion", "references"), { names: ["c:1", "localhost/a:1"] });
  const { checks, ...info } = json("info") as { checks: { name: string; works: boolean; detail: string }[] };
  assert.deepEqual(shapeOf(info), { version: text, node: text, platform: text, store: { path: text, exists: flag } });
  assert.ok(checks.length > 5 && checks.every((check) => check.detail !== ""));
});

test("a stream on standard output and --json exclude each other", async () => {
  await using store = temporaryStore();
  for (const args of [
    ["export", "x", "-o", "-"],
    ["save", "x", "-o", "-"],
    ["diff", "x", "--tar", "-"],
  ]) {
    const { exitCode, stderr } = store.run([...args, "--json"]);
    assert.equal(exitCode, 2, args.join(" "));
    assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, "ERR_JSON_STREAM");
  }
});
