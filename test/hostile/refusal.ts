/**
 * The harness of the hostile fixtures. Each is imported through the command line into a store that has a sentinel tree
 * beside it. Whatever happens, nothing of the sentinel may change, no blob may lie under a digest that is not its own,
 * and `fsck` must find the store clean.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fingerprint } from "../helpers/compare.ts";
import { archiveOf, type Files, type LayerSpec, ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { type Outcome, type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";

/** What a fixture may aim at: the sentinel's absolute path, and a directory it may write its source into. */
export interface Target {
  readonly outside: string;
  readonly scratch: string;
}

export interface Hostile {
  /** A sentence: what the input does, and what becomes of it. */
  readonly name: string;
  /** The layers of an image, the files of an OCI layout or docker-archive, the bytes of a source, or its path. */
  readonly source: (target: Target) => Layers | Files | Buffer | string;
  /** More arguments for `import`. */
  readonly arguments?: readonly string[];
  /** The exit code: 5 unless given. */
  readonly exit?: number;
  /** What the message must name: the entry, the descriptor or the field. */
  readonly says: RegExp;
}

/** Layers, base first, as `ociFiles` takes them. */
export type Layers = readonly (LayerSpec | Buffer)[];

/** Sources with several layers may leave the good ones, so that an import that goes on later finds them. */
const layersOf = (source: ReturnType<Hostile["source"]>): number => (Array.isArray(source) ? source.length : 0);

/** A test that the input is refused with its exit code and message, and leaves nothing behind. */
export function refused(fixture: Hostile): void {
  test(fixture.name, { skip: requires("root") }, async () => {
    await using store = temporaryStore();
    const target = sentinel(store);
    const source = fixture.source(target);
    const { outcome, unchanged } = importAgainst(store, target, source, fixture.arguments ?? []);
    assert.equal(outcome.exitCode, fixture.exit ?? 5, outcome.stderr);
    assert.match(outcome.stderr, fixture.says);
    assert.match(outcome.stderr, /Cannot /, "the message is one of ours");
    assert.doesNotMatch(outcome.stderr, /\n\s+at /, "no stack");
    unchanged();
    if (!existsSync(store.root)) return; // refused before there was anything to do
    assert.deepEqual(JSON.parse(store.ok("--json", "images")), { images: [] }, "no image came of it");
    if (layersOf(source) < 2) assert.deepEqual(namesIn(join(store.root, "layers")), [], "no layer stays behind");
    assertClean(store);
  });
}

export interface Contained extends Omit<Hostile, "exit" | "says"> {
  /** What must be true of the merged tree. */
  readonly inspect: (merged: string, target: Target) => void;
}

/** A test that the input is imported and cannot reach anything but its own layer. */
export function contained(fixture: Contained): void {
  test(fixture.name, { skip: requires("root", "overlay") }, async () => {
    await using store = temporaryStore();
    const target = sentinel(store);
    const { outcome, unchanged } = importAgainst(store, target, fixture.source(target), fixture.arguments ?? []);
    assert.equal(outcome.exitCode, 0, outcome.stderr);
    unchanged();
    const merged = store.mount("localhost/test:latest");
    fixture.inspect(merged, target);
    unchanged();
    store.ok("umount", merged);
    assertClean(store);
  });
}

/** A tree whose every change shows: files, a hard link, symlinks, a directory. */
function sentinel(store: TestStore): Target {
  const outside = join(store.path, "outside");
  mkdirSync(join(outside, "directory"), { recursive: true });
  writeFileSync(join(outside, "passwd"), "root:x:0:0\n", { mode: 0o600 });
  writeFileSync(join(outside, "directory", "inner"), "inner\n");
  linkSync(join(outside, "passwd"), join(outside, "passwd.link"));
  symlinkSync("passwd", join(outside, "symlink"));
  const scratch = join(store.path, "scratch");
  mkdirSync(scratch);
  return { outside, scratch };
}

function importAgainst(
  store: TestStore,
  target: Target,
  source: ReturnType<Hostile["source"]>,
  options: readonly string[],
): { outcome: Outcome; unchanged: () => void } {
  const path = writeSource(target, source);
  const before = fingerprint(target.outside);
  const besideStore = (): readonly string[] => namesIn(store.path).filter((name) => name !== "store");
  const beside = besideStore();
  const outcome = store.run(["import", path, ...options]);
  const unchanged = (): void => {
    assert.deepEqual(fingerprint(target.outside), before, "nothing outside the store changes");
    assert.deepEqual(besideStore(), beside, "nothing is made beside the store");
  };
  return { outcome, unchanged };
}

function writeSource(target: Target, source: ReturnType<Hostile["source"]>): string {
  if (typeof source === "string") return source;
  const path = join(target.scratch, "source");
  if (Buffer.isBuffer(source)) writeFileSync(path, source);
  else if (source instanceof Map) writeFileSync(path, archiveOf(source));
  else writeFiles(path, ociFiles([{ layers: source as Layers }]));
  return path;
}

/** Blobs are what their names say, nothing unfinished is left, and `fsck` and `gc` agree. */
function assertClean(store: TestStore): void {
  for (const name of namesIn(join(store.root, "blobs", "sha256"))) {
    const bytes = readFileSync(join(store.root, "blobs", "sha256", name));
    assert.equal(createHash("sha256").update(bytes).digest("hex"), name, "a blob lies under its own digest");
  }
  assert.deepEqual(namesIn(join(store.root, "tmp")), [], "nothing unfinished is left");
  const fsck = store.run(["fsck", "--deep"]);
  assert.equal(fsck.exitCode, 0, `fsck: ${fsck.stdout.toString()}${fsck.stderr}`);
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // a refusal may come before the store is made
  }
}
