/** What must be true of a batch after its programs have ended and it was unmounted: one function for each property. */

import { type HostPath, joinHost } from "../../src/paths.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import { AT_FDCWD } from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";
import type { Scene } from "../conformance/scene.ts";
import { type Finding, type Judged, lineDifference } from "./batch.ts";
import { type KnownDifference, knownOf } from "./differences.ts";
import type { Case } from "./generate/case.ts";
import { diffApplies, squashes } from "./layer-properties.ts";
import { linesOf } from "./model/tree.ts";
import { directoryOf, indexOf } from "./scene.ts";
import { commits } from "./store-properties.ts";
import type { Subject } from "./subjects.ts";
import { otherThan } from "./subjects.ts";

export interface Aftermath {
  readonly subject: Subject;
  readonly scene: Scene;
  readonly sinceMs: number;
  readonly cases: readonly Case[];
  readonly judged: readonly Judged[];
  readonly stamps: ReadonlyMap<string, string>;
  readonly known: readonly KnownDifference[];
}

/** A case of the batch, and what was found of it. */
export type Found = readonly [index: number, finding: Finding];

type Look = (aftermath: Aftermath) => Promise<readonly Found[]>;

/** For every file of some layers what no write to it leaves as it was: its inode and the time of its last change. */
export function stampsOf(layers: readonly HostPath[]): ReadonlyMap<string, string> {
  const stamps = new Map<string, string>();
  const visit = (path: HostPath, name: string): void => {
    stamps.set(name, stampOf(path));
    for (const entry of listDirectory(path)) {
      if (entry.kind === "directory") visit(joinHost(path, entry.name), `${name}/${entry.name}`);
      else stamps.set(`${name}/${entry.name}`, stampOf(joinHost(path, entry.name)));
    }
  };
  for (const [at, layer] of layers.entries()) visit(layer, `lowerdir${at}`);
  return stamps;
}

function stampOf(path: HostPath): string {
  const { ino, ctimeNs } = statAt(AT_FDCWD, path);
  return `inode ${ino}, last changed at ${ctimeNs}`;
}

/** (6) */
const lowerUnchanged: Look = async ({ scene, stamps }) => {
  const now = stampsOf(scene.lowerdirs);
  const paths = [...new Set([...stamps.keys(), ...now.keys()])].filter((path) => stamps.get(path) !== now.get(path));
  return paths.map((path) => {
    const index = indexOf(path.replace(/^lowerdir\d+\/?/, "")) ?? 0;
    const [expected, found] = [stamps.get(path) ?? "nothing", now.get(path) ?? "nothing"];
    return [index, { property: `the lower layers are never written (${path})`, expected, found, step: null }];
  });
};

/** (2), (3): what another mount of the same upperdir shows. */
function shownBy(property: string, other: (subject: Subject) => Subject): Look {
  return async ({ subject, scene, sinceMs, judged, known: ofSubject }) => {
    const shown = other(subject);
    const known = [...ofSubject, ...knownOf(shown.name)];
    await using opened = await shown.open(scene, sinceMs);
    const ran = await opened.run(judged.map((_, index) => ({ directory: directoryOf(index), program: [] })));
    return judged.flatMap(({ after }, index) => {
      const difference = lineDifference(linesOf(after), ran[index]?.end ?? ["no answer"], known);
      if (difference === null) return [];
      const finding: Finding = { property, expected: difference[0], found: difference[1], step: null };
      return [[index, finding] as const];
    });
  };
}

const remounted = shownBy("it shows the same after a remount", (subject) => subject);
const elsewhere = shownBy("another file system shows the same of the upperdir", otherThan);

/** Each with how a script is to show what it finds. */
export const AFTERWARDS: readonly { readonly look: Look; readonly shownBy: Finding["shownBy"] }[] = [
  { look: lowerUnchanged, shownBy: undefined },
  { look: remounted, shownBy: undefined },
  { look: elsewhere, shownBy: "elsewhere" },
  { look: diffApplies, shownBy: "store" },
  { look: commits, shownBy: "store" },
  { look: squashes, shownBy: "squash" },
];
