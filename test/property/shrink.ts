/** Cases that are a little smaller than one, those first that are much smaller: what still fails of them is taken, and made smaller again. */

import type { Case } from "./generate/case.ts";
import type { Step } from "./model/call.ts";
import type { Layer } from "./model/layers.ts";
import { type Inode, inodeOf, isBelow, type Path, type Tree, withInode, without } from "./model/tree.ts";

export function* smallerThan(failing: Case): Generator<Case> {
  const { layers, program, killAt } = failing;
  yield* withoutSome(program).map((some) => ({ ...failing, program: some }));
  if (layers.length > 1) yield* layers.map((_, at) => ({ ...failing, layers: layers.toSpliced(at, 1) }));
  for (const [at, layer] of layers.entries()) {
    for (const smaller of smallerLayers(layer)) yield { ...failing, layers: layers.with(at, smaller) };
  }
  if (killAt !== undefined) for (let at = 0; at < killAt; at++) yield { ...failing, killAt: at };
  yield* renamed(failing);
  for (const [at, step] of program.entries()) {
    if (step.by !== undefined) yield { ...failing, program: program.with(at, { ...step, by: 0 }) };
  }
}

/** Without the first half, the second half, each quarter, and so on to each one. */
function withoutSome<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  const all: (readonly Item[])[] = [];
  for (let size = Math.ceil(items.length / 2); size > 0; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < items.length; at += size) all.push(items.toSpliced(at, size));
  }
  return all;
}

function* smallerLayers(layer: Layer): Generator<Layer> {
  const { tree, whiteouts, opaque } = layer;
  const outside = (paths: ReadonlySet<Path>, gone: Path): ReadonlySet<Path> =>
    new Set([...paths].filter((path) => path !== gone && !isBelow(path, gone)));
  const paths = [...tree.names.keys()].filter((path) => path !== "").sort();
  for (const path of paths) {
    yield { tree: without(tree, path), whiteouts: outside(whiteouts, path), opaque: outside(opaque, path) };
  }
  for (const path of whiteouts) yield { ...layer, whiteouts: new Set([...whiteouts].filter((each) => each !== path)) };
  for (const path of opaque) yield { ...layer, opaque: new Set([...opaque].filter((each) => each !== path)) };
  for (const path of paths) for (const simpler of simplerAt(tree, path)) yield { ...layer, tree: simpler };
}

/** With attributes that matter least, and with little content. */
function* simplerAt(tree: Tree, path: Path): Generator<Tree> {
  const inode = tree.inodes[tree.names.get(path) ?? 0] ?? inodeOf("file");
  const plain: Inode = inodeOf(inode.kind, { content: inode.content });
  if (JSON.stringify(plain) !== JSON.stringify(inode)) yield withInode(tree, path, plain);
  if (inode.kind === "file" && inode.content.length > 1) yield withInode(tree, path, { content: "1" });
}

const USUAL_NAMES = ["a", "b", "c", "d", "e", "f"];

/** With a usual name, where there is none such yet, in place of an odd one. */
function* renamed({ layers, program, ...rest }: Case): Generator<Case> {
  const paths = layers.flatMap(({ tree, whiteouts }) => [...tree.names.keys(), ...whiteouts]);
  const names = new Set([...paths, ...program.flatMap(pathsOf)].flatMap((path) => path.split("/")));
  const free = USUAL_NAMES.find((name) => !names.has(name));
  if (free === undefined) return;
  for (const odd of names) {
    if (odd === "" || USUAL_NAMES.includes(odd)) continue;
    const put = (path: string): string =>
      path
        .split("/")
        .map((name) => (name === odd ? free : name))
        .join("/");
    yield {
      layers: layers.map(({ tree, whiteouts, opaque }) => ({
        tree: {
          names: new Map([...tree.names].map(([path, number]) => [put(path), number])),
          inodes: tree.inodes.map((each) => (each.kind === "symlink" ? { ...each, content: put(each.content) } : each)),
        },
        whiteouts: new Set([...whiteouts].map(put)),
        opaque: new Set([...opaque].map(put)),
      })),
      program: program.map(
        (step) =>
          Object.fromEntries(
            Object.entries(step).map(([key, value]) => [key, isPath(key) ? put(String(value)) : value]),
          ) as Step,
      ),
      ...rest,
    };
  }
}

function isPath(key: string): boolean {
  return ["path", "from", "to", "target", "made", "removed"].includes(key);
}

function pathsOf(step: Step): readonly string[] {
  return Object.entries(step).flatMap(([key, value]) => (isPath(key) ? [String(value)] : []));
}
