/**
 * What subjects are known to do otherwise than a plain directory, and why. Each difference has a witness: a case that shows
 * it. A case that fails for another reason is a finding, and so is a witness that no longer differs: then the entry goes.
 */

import type { Finding } from "./batch.ts";
import type { Case } from "./generate/case.ts";
import { hasReservedNames } from "./layer-properties.ts";
import { callText, type Step } from "./model/call.ts";
import { type Layer, merged } from "./model/layers.ts";
import { layerOfNotation } from "./model/notation.ts";
import { inodeAt, linksOf } from "./model/tree.ts";

export interface KnownDifference {
  /** A pattern for the subject's name. */
  readonly subject: RegExp;
  readonly reason: string;
  /** Layers in the house notation, base first. */
  readonly witness: { readonly layers: readonly string[]; readonly program: readonly Step[] };
  /** An answer that may be given instead: the call is then not made in the oracle. */
  readonly refuses?: (step: Step, outcome: string) => boolean;
  /** What a line or an answer of the subject says, in the words of others. */
  readonly reads?: (text: string) => string;
  /** Lines of a listing that are not compared. */
  readonly ignores?: (line: string) => boolean;
  /** True for a finding of this kind. */
  readonly explains?: (failing: Case, finding: Finding) => boolean;
}

/** A name with which a path is longer than a redirect. */
const LONG = "n".repeat(255);

/** All that follow the format of kernel overlayfs. */
const OVERLAYS = /^(core|core-user|fuse|fuse-user|fuse-native|store)$|^kernel/;

/** Through fuse-native: docs/fuse-native.md has what it cannot do, and why. */
const NATIVE: readonly KnownDifference[] = [
  {
    subject: /^fuse-native$/,
    reason: "fuse-native gives times in whole milliseconds",
    witness: { layers: ["a=1"], program: [] },
    reads: (text) => text.replace(/@(\d+)\.123\d*/, "@$1"),
    explains: ({ program }, { property }) =>
      property.startsWith("a diff lists") && program.some(({ do: verb }) => verb === "utimens"), // set to others than asked for
  },
  {
    subject: /^fuse-native$/,
    reason: "libfuse 2 has no rename with flags: EINVAL",
    witness: { layers: ["a=1 b=1"], program: [{ do: "rename", from: "a", to: "b", how: "exchange" }] },
    refuses: (step, outcome) => step.do === "rename" && step.how !== "replace" && outcome === "EINVAL",
  },
  {
    subject: /^fuse-native$/,
    reason: "fuse-native has no fallocate: ENOTSUP",
    witness: { layers: ["a=1"], program: [{ do: "allocate", path: "a", how: "allocate", offset: 0, length: 9 }] },
    refuses: (step, outcome) => step.do === "allocate" && outcome === "ENOTSUP",
  },
  {
    subject: /^fuse-native$/,
    reason: "fuse-native passes names as UTF-8: others are not listed, and refused with EILSEQ",
    witness: { layers: ["\\xff\\xfe=1"], program: [{ do: "create", path: "\xff\xfea", mode: 0o644 }] },
    explains: ({ layers, program }) =>
      [...layers.flatMap(({ tree }) => [...tree.names.keys()]), ...program.map(callText)].some((text) =>
        /\xff|\\xff\\xfe/.test(text),
      ),
  },
];

export const KNOWN: readonly KnownDifference[] = [
  {
    subject: /^kernel/,
    reason: "a directory that only one layer has is listed as it is there, whiteouts too, which cannot be looked up",
    witness: { layers: ["a/ -a/b"], program: [] },
    ignores: (line) => line.endsWith("is listed, and lstat answers ENOENT"),
    explains: (_, { step, expected, found }) => step?.do.startsWith("list") === true && isAmong(expected, found),
  },
  {
    subject: /^kernel:(.*redirect_dir=off|userxattr)|^(core|fuse)-user$/,
    reason: "without redirects a directory of a lower layer is not renamed: EXDEV",
    witness: { layers: ["a/"], program: [{ do: "rename", from: "a", to: "b", how: "replace" }] },
    refuses: (step, outcome) => step.do === "rename" && outcome === "EXDEV",
  },
  {
    subject: /^kernel:(index=off|userxattr)/,
    reason: "without index the names of a lower file part when one of them is copied up",
    witness: { layers: ["a=1 b<=a"], program: [{ do: "append", path: "a", text: "2" }] },
    explains: ({ layers }) => layers.some(hasLinks),
  },
  {
    subject: /^kernel:userxattr/,
    reason: "symbolic links and fifos have no user attributes: a new name of a lower one shows a number of its own",
    witness: { layers: ["a->c"], program: [{ do: "link", from: "a", to: "b" }] },
    explains: (_, { expected, found }) =>
      /^\S+(->|\|)/.test(expected) && withoutGroup(expected) === withoutGroup(found),
  },
  {
    subject: /^kernel:.*metacopy=on/,
    reason: "opening a file for writing whose content was left below copies it up, and sets the time of modification",
    witness: {
      layers: ["a=1"],
      program: [
        { do: "chmod", path: "a", mode: 0o600 },
        { do: "map", path: "a", text: "four" }, // it is too short, so nothing is written
      ],
    },
    explains: (_, { expected, found }) => withoutTime(expected) === withoutTime(found) && found.includes("@now"),
  },
  {
    subject: OVERLAYS,
    reason: "a file of a layer has as many links as it has names there, those too that the layers above hide",
    witness: { layers: ["a=1 b<=a", "-b"], program: [{ do: "stat", path: "a" }] },
    explains: ({ layers }, { step, expected, found }) =>
      step?.do === "stat" && withoutLinks(expected) === withoutLinks(found) && hasHiddenLinks(layers),
  },
  {
    subject: /^(core|fuse|fuse-native|store)$|^kernel:.*redirect_dir=on/,
    reason:
      "a redirect has at most 256 bytes, so a directory of a lower layer with a longer path is not renamed: EXDEV",
    witness: {
      layers: [`${LONG}/a/`],
      program: [{ do: "rename", from: `${LONG}/a`, to: "b", how: "replace" }],
    },
    refuses: (step, outcome) => step.do === "rename" && outcome === "EXDEV" && (step.from + step.to).length > 200,
  },
  {
    subject: /^kernel:.*metacopy=on/,
    reason: "a file whose content was left below has a redirect when it gets one more name: with a longer path EXDEV",
    witness: {
      layers: [`${LONG}/a=1`],
      program: [
        { do: "chmod", path: `${LONG}/a`, mode: 0o600 },
        { do: "link", from: `${LONG}/a`, to: "b" },
      ],
    },
    refuses: (step, outcome) => step.do === "link" && outcome === "EXDEV" && step.from.length > 200,
  },
  {
    subject: /^store$/,
    reason: "in an image a name that begins with .wh. is a whiteout",
    witness: { layers: [".wh.a=1"], program: [] },
    explains: ({ layers }) => layers.some(({ tree }) => hasReservedNames(tree)),
  },
  {
    subject: /^(core|fuse)-user$/,
    reason: "symbolic links and fifos have no user attributes, so their names are one file no longer after a remount",
    witness: { layers: ["a->c b<=a"], program: [{ do: "utimens", path: "a", mtime: 86_400 }] },
    explains: ({ layers }) => layers.some(hasSpecialLinks),
  },
  {
    subject: /^(core|fuse)-user$/,
    reason:
      "the kernel takes no index with user attributes: its mount of the upperdir shows names of lower files parted",
    witness: { layers: ["a=1 b<=a"], program: [{ do: "append", path: "a", text: "2" }] },
    explains: ({ layers }, { property }) => property.startsWith("another file system") && layers.some(hasLinks),
  },
  ...NATIVE,
];

function hasSpecialLinks({ tree }: Layer): boolean {
  return [...tree.names.keys()].some((path) => linksOf(tree, path) > 1 && inodeAt(tree, path)?.kind !== "file");
}

/** True if all the names that one listing has are in another. */
function isAmong(names: string, others: string): boolean {
  const there = others.split(" ");
  return names.split(" ").every((name) => name === "" || there.includes(name));
}

function hasHiddenLinks(layers: readonly Layer[]): boolean {
  const shown = merged(layers);
  return layers.some(({ tree }) =>
    [...tree.names.keys()].some((path) => linksOf(tree, path) > 1 && linksOf(shown, path) !== linksOf(tree, path)),
  );
}

function withoutLinks(stat: string): string {
  return stat.replace(/ links \d+/, "");
}

function withoutGroup(line: string): string {
  return line.replace(/ the same file as .*/s, "");
}

function withoutTime(line: string): string {
  return line.replace(/ @\S+/, "");
}

function hasLinks({ tree }: Layer): boolean {
  return new Set(tree.names.values()).size < tree.names.size;
}

/** What is known of a subject. */
export function knownOf(subject: string): readonly KnownDifference[] {
  return KNOWN.filter((each) => each.subject.test(subject));
}

/** The witness as a case. */
export function witnessOf({ witness }: KnownDifference): Case {
  return { layers: witness.layers.map(layerOfNotation), program: witness.program };
}

/** What a subject said, as others say it. */
export function readAs(known: readonly KnownDifference[], text: string): string {
  return known.reduce((read, { reads }) => reads?.(read) ?? read, text);
}
