/** A case: a stack, and a program that is run on what it shows. */

import fc from "fast-check";
import { callsFor } from "../lay-out.ts";
import { apply } from "../model/apply.ts";
import type { Call, Step } from "../model/call.ts";
import { type Layer, merged } from "../model/layers.ts";
import { EMPTY, inodeAt, isBelow, linksOf, type Path, type Tree, withName } from "../model/tree.ts";
import {
  anyMode,
  anyName,
  anyOwner,
  anyPath,
  anyStack,
  anyTarget,
  anyText,
  anyTime,
  anyXattrName,
  anyXattrValue,
} from "./layers.ts";

export interface Case {
  /** Base first. */
  readonly layers: readonly Layer[];
  readonly program: readonly Step[];
  /** The server is killed before this change of a layer. */
  readonly killAt?: number;
}

const TOO_LONG = "n".repeat(256);
/** What stands for a path: one that is there when the call is made, or that of the call before. Which, is found out step by step. */
const PICK = "\0";
const AGAIN = `${PICK}again`;
const picked = fc.oneof(
  { weight: 4, arbitrary: fc.nat({ max: 40 }).map((nth) => `${PICK}${nth}`) },
  { weight: 1, arbitrary: fc.constant(AGAIN) },
);
const inPicked = fc.tuple(picked, anyName).map((names) => names.join("/"));
const path = fc.oneof(
  { weight: 30, arbitrary: picked },
  { weight: 10, arbitrary: inPicked },
  { weight: 20, arbitrary: anyPath },
  { weight: 1, arbitrary: fc.constant(TOO_LONG) },
);
/** Of what has to be there. */
const there = fc.oneof({ weight: 6, arbitrary: picked }, { weight: 1, arbitrary: path });
/** Of what is made: mostly new. */
const fresh = fc.oneof({ weight: 2, arbitrary: inPicked }, { weight: 1, arbitrary: path });
const offset = fc.constantFrom(0, 1, 3, 5000);
const size = fc.constantFrom(0, 1, 2, 5000);

type Of<Verb> = Extract<Call, { readonly do: Verb }>;

function call<Verb extends Call["do"]>(
  verb: Verb,
  rest: { readonly [Key in Exclude<keyof Of<Verb>, "do">]: fc.Arbitrary<Of<Verb>[Key]> },
): fc.Arbitrary<Call> {
  return fc.record(rest as Record<string, fc.Arbitrary<unknown>>).map((values) => ({ do: verb, ...values }) as Call);
}

const hows = fc.constantFrom("replace" as const, "replace" as const, "noreplace" as const, "exchange" as const);
const ranges = fc.constantFrom("allocate" as const, "keepSize" as const, "punchHole" as const);
const ways = fc.constantFrom("set" as const, "create" as const, "replace" as const);

const WEIGHTED: readonly (readonly [weight: number, calls: fc.Arbitrary<Call>])[] = [
  [3, call("create", { path: fresh, mode: anyMode })],
  [3, call("replace", { path, text: anyText })],
  [3, call("write", { path: there, offset, text: anyText })],
  [2, call("append", { path: there, text: anyText })],
  [2, call("truncate", { path: there, size })],
  [1, call("allocate", { path: there, how: ranges, offset, length: fc.constantFrom(1, 4096) })],
  [1, call("map", { path: there, text: anyText })],
  [4, call("mkdir", { path, mode: anyMode })],
  [1, call("mkfifo", { path: fresh, mode: fc.constant(0o644) })],
  [2, call("symlink", { target: anyTarget, path: fresh })],
  [3, call("link", { from: there, to: fresh })],
  [7, call("rename", { from: path, to: path, how: hows })],
  [2, call("rename", { from: path, to: path, how: hows }).map((each) => ({ ...each, emptied: true }))],
  [1, call("rmdir", { path }).map((each) => ({ ...each, emptied: true }))],
  [5, call("unlink", { path })],
  [4, call("rmdir", { path })],
  [2, call("chmod", { path, mode: anyMode })],
  [2, call("chown", { path, uid: anyOwner, gid: anyOwner })],
  [1, call("utimens", { path, mtime: anyTime })],
  [2, call("setxattr", { path, name: anyXattrName, value: anyXattrValue, how: ways })],
  [1, call("removexattr", { path: there, name: anyXattrName })],
  [1, call("read", { path: there })],
  [1, call("list", { path: there })],
  [5, call("stat", { path })],
  [1, call("unlink open", { path: there, text: anyText })],
  [1, call("write open", { path: there, text: anyText })],
  [1, call("list changing", { path: there, made: anyName, removed: anyName })],
];

const anyCall: fc.Arbitrary<Call> = fc.oneof(...WEIGHTED.map(([weight, arbitrary]) => ({ weight, arbitrary })));

/** One call in eight is made by a second process. */
const anyStep: fc.Arbitrary<Step> = fc
  .record({ call: anyCall, by: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1) })
  .map(({ call, by }) => (by === 0 ? call : { ...call, by }));

/**
 * A step before its paths are known. `emptied`: everything in the directory that it is about is removed first, call by call.
 * `equal`: what is renamed is made first, as a file like that at the new name. `linked`: it is about a file of several names.
 */
type RawStep = Step & { readonly emptied?: boolean; readonly equal?: boolean; readonly linked?: boolean };

/** Puts paths in place of what stands for them, step by step. */
function withPaths(layers: readonly Layer[], program: readonly RawStep[]): readonly Step[] {
  let [tree, last] = [merged(layers), ""];
  return program.flatMap(({ emptied = false, equal = false, linked = false, ...step }) => {
    const all = [...tree.names.keys()].sort();
    const several = linked ? all.filter((each) => linksOf(tree, each) > 1) : [];
    const paths = several.length > 0 ? several : all;
    const fitting = paths.filter((each) => canBe(tree, each, step));
    const directories = paths.filter((each) => inodeAt(tree, each)?.kind === "directory");
    const place = (text: string): string =>
      text.replace(/^\0(\d+|again)\/?/, (match, nth: string) => {
        const fit = match.endsWith("/") ? directories : fitting;
        const from = fit.length > 0 && Number(nth) % 4 > 0 ? fit : paths;
        const found = nth === "again" ? last : (from[Number(nth) % from.length] ?? "");
        return match.endsWith("/") && found !== "" ? `${found}/` : found;
      });
    const entries = Object.entries(step).map(([key, value]) => [
      key,
      PATHS.includes(key) && typeof value === "string" ? place(value) || "a" : value,
    ]);
    const placed = Object.fromEntries(entries) as Step;
    const target = "to" in placed ? placed.to : "path" in placed ? placed.path : "";
    const steps = [...(emptied ? removals(tree, target) : equal ? makingEqual(tree, target) : []), placed];
    for (const each of steps) tree = apply(tree, each).tree;
    last = target;
    return steps;
  });
}

const OF_FILES: readonly Call["do"][] = [
  ...(["write", "append", "truncate", "allocate", "map", "read", "unlink open", "write open"] as const),
];
const OF_DIRECTORIES: readonly Call["do"][] = ["list", "list changing", "rmdir"];

/** False if the call has no chance with what is at the path. */
function canBe(tree: Tree, path: Path, call: Call): boolean {
  const inode = inodeAt(tree, path);
  if (inode === undefined) return false;
  if (call.do === "removexattr") return Object.hasOwn(inode.xattrs, call.name);
  if (call.do === "link") return inode.kind !== "directory";
  if (OF_FILES.includes(call.do)) return inode.kind === "file";
  return !OF_DIRECTORIES.includes(call.do) || inode.kind === "directory";
}

/** The calls that remove all that is in a directory, which is not followed if it is a symbolic link. */
function removals(tree: Tree, directory: string): readonly Step[] {
  return [...tree.names.keys()]
    .filter((path) => isBelow(path, directory))
    .sort()
    .reverse()
    .map((path) => ({ do: inodeAt(tree, path)?.kind === "directory" ? "rmdir" : "unlink", path }));
}

/** The calls that make a file like another, the time too, as `cp -p` does. */
function makingEqual(tree: Tree, path: Path): readonly Step[] {
  const inode = inodeAt(tree, path);
  return inode?.kind === "file"
    ? callsFor(withName(EMPTY, COPY, inode)).filter((call) => !("path" in call) || call.path !== "")
    : [];
}

/** The fields of calls that are paths. The root is none of a call's: what is done to it is done to all cases of a mount. */
const PATHS: readonly string[] = ["path", "from", "to"];

/** A new directory with one in it takes the place of one that was emptied: too rare to come about by single calls. */
const anyReplacement: fc.Arbitrary<readonly RawStep[]> = fc
  .record({ path: anyName, child: fc.constantFrom("a", "b", "c"), to: path })
  .map(({ path, child, to }) => [
    { do: "mkdir", path, mode: 0o755 },
    { do: "mkdir", path: `${path}/${child}`, mode: 0o755 },
    { do: "rename", from: path, to, how: "replace", emptied: true },
  ]);

const COPY = "copy";

/** A copy takes the place of its original: nothing is another than before, but the names that share a file. */
const anyCopy: fc.Arbitrary<readonly RawStep[]> = picked.map((to) => [
  { do: "rename", from: COPY, to, how: "replace", equal: true, linked: true },
]);

/** How many names a file has, right after one of them was changed or removed. */
const anyLinkCount: fc.Arbitrary<readonly RawStep[]> = fc
  .record({
    change: fc.oneof(call("chmod", { path: picked, mode: anyMode }), call("unlink", { path: picked })),
    path: picked,
  })
  .map(({ change, path }) => [
    { ...change, linked: true },
    { do: "stat", path, linked: true },
  ]);

/** An attribute is set, and removed again or changed. */
const anyAttribute: fc.Arbitrary<readonly RawStep[]> = fc
  .record({ path: picked, name: anyXattrName, value: anyXattrValue, how: ways, isRemoved: fc.boolean() })
  .map(({ path, name, value, how, isRemoved }) => [
    { do: "setxattr", path, name, value, how: "set" },
    isRemoved ? { do: "removexattr", path: AGAIN, name } : { do: "setxattr", path: AGAIN, name, value: "", how },
  ]);

/** What was changed is removed, moved or given one more name: a copy of a lower file, say, that must not show again. */
const anyChangeAndMove: fc.Arbitrary<readonly RawStep[]> = fc
  .record({
    change: fc.oneof(call("chmod", { path: picked, mode: anyMode }), call("append", { path: picked, text: anyText })),
    move: fc.oneof(
      call("unlink", { path: fc.constant(AGAIN) }),
      call("rename", { from: fc.constant(AGAIN), to: path, how: fc.constant("replace" as const) }),
      call("link", { from: fc.constant(AGAIN), to: anyPath }),
    ),
  })
  .map(({ change, move }) => [change, move]);

/** A directory is removed with all that is in it, and made again with a directory in it, of a name that may have been there. */
const anyRemake: fc.Arbitrary<readonly RawStep[]> = fc
  .record({ path: picked, child: fc.constantFrom("a", "b", "c") })
  .map(({ path, child }) => [
    { do: "rmdir", path, emptied: true },
    { do: "mkdir", path: AGAIN, mode: 0o755 },
    { do: "mkdir", path: `${AGAIN}/${child}`, mode: 0o755 },
  ]);

const anyProgram: fc.Arbitrary<readonly RawStep[]> = fc
  .array(
    fc.oneof(
      { weight: 20, arbitrary: anyStep.map((step) => [step]) },
      { weight: 2, arbitrary: anyReplacement },
      { weight: 1, arbitrary: anyRemake },
      { weight: 2, arbitrary: anyChangeAndMove },
      { weight: 1, arbitrary: anyCopy },
      { weight: 2, arbitrary: anyLinkCount },
      { weight: 1, arbitrary: anyAttribute },
    ),
    { minLength: 1, maxLength: 16 },
  )
  .map((steps) => steps.flat());

/** Cases whose layers have files of several names, and cases whose layers have none: one kind a batch. */
const [LINKED, PLAIN] = [true, false].map((withLinks) =>
  fc
    .record({ layers: anyStack(withLinks), program: anyProgram })
    .map(({ layers, program }): Case => ({ layers, program: withPaths(layers, program) })),
) as [fc.Arbitrary<Case>, fc.Arbitrary<Case>];

/** What the cases of a batch are made by. */
export function casesOf(seed: number): fc.Arbitrary<Case> {
  return seed % 2 === 0 ? PLAIN : LINKED;
}

/** A listing during which a directory is changed: what fails of that is not seen. */
const UNSEEN: Call["do"] = "list changing";

/** As `casesOf`, with a server that is killed: in programs whose calls all change something. */
export function crashesOf(seed: number): fc.Arbitrary<Case> {
  return fc
    .record({
      each: casesOf(seed),
      killAt: fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 9 }) }, fc.nat({ max: 24 })),
    })
    .map(({ each: { layers, program }, killAt }) => {
      let tree = merged(layers);
      const changing = program.filter((step) => {
        if (step.do === UNSEEN) return false;
        const before = tree;
        tree = apply(tree, step).tree;
        return tree !== before;
      });
      return { layers, program: changing, killAt };
    });
}
