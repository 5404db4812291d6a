/**
 * Where cases are laid out: all those of a batch share the layers of one mount, each in a directory of its own, so that
 * mounting costs a batch what it costs a case otherwise.
 */

import { mkdirSync } from "node:fs";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import type { Scene } from "../conformance/scene.ts";
import { MOST_LAYERS } from "./generate/layers.ts";
import { writeLayer, writeTree } from "./lay-out.ts";
import { type Layer, merged } from "./model/layers.ts";

/** The directory of a case, below each layer and below the mount. */
export function directoryOf(index: number): string {
  return `c${index}`;
}

/** Which case a path of a layer is of; null for what is none's. */
export function indexOf(path: string): number | null {
  const match = /^c(\d+)(\/|$)/.exec(path);
  return match === null ? null : Number(match[1]);
}

/** Writes the stacks of a batch, and what each shows as plain files beside it (`twin`). */
export function layOut(directory: HostPath, stacks: readonly (readonly Layer[])[], namespace: OverlayNamespace): Scene {
  const [upperdir, workdir, target, twin] = ["upper", "work", "merged", "twin"].map((name) =>
    makeDirectory(joinHost(directory, name)),
  ) as [HostPath, HostPath, HostPath, HostPath];
  const layers = Array.from({ length: MOST_LAYERS }, (_, at) =>
    makeDirectory(joinHost(directory, "lower", `layer${at}`)),
  );
  for (const [index, stack] of stacks.entries()) {
    for (const [at, layer] of stack.entries()) {
      const base = layers[at];
      if (base !== undefined) writeLayer(makeDirectory(joinHost(base, directoryOf(index))), layer, namespace);
    }
    writeTree(makeDirectory(joinHost(twin, directoryOf(index))), merged(stack));
  }
  return { directory, lowerdirs: layers.toReversed(), upperdir, workdir, target, twin };
}

function makeDirectory(path: HostPath): HostPath {
  mkdirSync(bytesOf(path), { recursive: true, mode: 0o755 });
  return path;
}
