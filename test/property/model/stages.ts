/** The trees that a program can find between the system calls which a call of the model stands for. */

import { apply, spotOf } from "./apply.ts";
import type { Call } from "./call.ts";
import type { Tree } from "./tree.ts";

/** The tree before, those between, and the tree after. */
export function stagesOf(tree: Tree, call: Call): readonly Tree[] {
  const after = apply(tree, call).tree;
  if (call.do === "replace") {
    const spot = spotOf(tree, call.path, true);
    if (typeof spot === "string") return [tree];
    const isThere = tree.names.has(spot.path);
    const opened = isThere
      ? apply(tree, { do: "truncate", path: call.path, size: 0 })
      : apply(tree, { do: "create", path: spot.path, mode: 0o644 });
    return [tree, opened.tree, after];
  }
  if (call.do === "unlink open") return [tree, apply(tree, { do: "unlink", path: call.path }).tree, after];
  return [tree, after];
}
