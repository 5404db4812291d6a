/**
 * A store as a subject: the layers of a batch are imported as an image, a snapshot of it is mounted with kernel overlayfs, and
 * what its programs did is committed, saved and imported somewhere else.
 */

import { mkdirSync } from "node:fs";
import { diffTrees } from "../../layers/diff/tree-diff.ts";
import { lowerdirsOf } from "../../layers/image.ts";
import { resolveImage } from "../../layers/images.ts";
import { importSource } from "../../layers/import.ts";
import { mountSnapshot, prepareImage } from "../../layers/mounts.ts";
import { getSnapshot } from "../../layers/snapshots/snapshots.ts";
import { Store } from "../../layers/store.ts";
import { unmount } from "../../layers/unmount.ts";
import { MergedTree } from "../../src/overlay/merged-tree.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import type { Scene } from "../conformance/scene.ts";
import { ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { tarOf } from "./layer-tar.ts";

/** Of the image that a batch's layers are, and of the snapshot of it. */
export const IMAGE = "localhost/case:base";
export const SNAPSHOT = "case";

const OPTIONS = { index: true, redirectDir: "on", metacopy: false } as const;

/** The store of a batch; to be disposed. */
export function storeOf({ directory }: Scene): Store {
  return Store.open(joinHost(directory, "store"));
}

/** Imports the layers of a scene and prepares a snapshot of them: the scene with the store's directories. */
export async function importScene(scene: Scene): Promise<Scene> {
  const layers = [];
  for (const at of scene.lowerdirs.keys()) layers.unshift({ tar: await layerTar(scene.lowerdirs.slice(at)) });
  const layout = joinHost(scene.directory, "image");
  mkdirSync(bytesOf(layout));
  writeFiles(layout, ociFiles([{ layers, reference: IMAGE }]));
  using store = storeOf(scene);
  await importSource(store, layout);
  const { upperdir, workdir } = await prepareImage(store, IMAGE, { name: SNAPSHOT, options: OPTIONS });
  if (upperdir === null || workdir === null) throw new Error("a view has no changes");
  return { ...scene, lowerdirs: lowerdirsOf(store, resolveImage(store, IMAGE)), upperdir, workdir };
}

/** The topmost of some layers, top first. */
async function layerTar(lowerdirs: readonly HostPath[]): Promise<Buffer> {
  const below = lowerdirs.slice(1);
  return await tarOf(diffTrees(below.length === 0 ? null : new MergedTree(below), new MergedTree(lowerdirs)));
}

/** The snapshot is mounted at the scene's target until it is disposed. */
export async function mountScene(scene: Scene): Promise<AsyncDisposable> {
  using store = storeOf(scene);
  await mountSnapshot(store, getSnapshot(store, SNAPSHOT), { target: scene.target, backend: "kernel" });
  return {
    async [Symbol.asyncDispose]() {
      using again = storeOf(scene);
      await unmount(again, SNAPSHOT);
    },
  };
}
