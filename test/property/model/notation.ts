/** The house notation, read: layers for examples and for the lists of differences. */

import { bytesFromText } from "../../../src/paths.ts";
import { type Entry, type Layer, layerOf } from "./layers.ts";
import { inodeOf } from "./tree.ts";

/** `a/` a directory, `a/x=1` a file, `l->t` a symbolic link, `p|` a fifo, `b<=a` one more name, `-a` a whiteout, `c/!` opaque. */
export function layerOfNotation(notation: string): Layer {
  return layerOf(
    notation
      .split(" ")
      .filter((word) => word !== "")
      .map((word) => entryOf(bytesFromText(word))),
  );
}

function entryOf(word: string): Entry {
  if (word.startsWith("-")) return { path: word.slice(1), what: "whiteout" };
  if (word.endsWith("/!")) return { path: word.slice(0, -2), what: "opaque" };
  if (word.endsWith("/")) return { path: word.slice(0, -1), what: inodeOf("directory") };
  if (word.endsWith("|")) return { path: word.slice(0, -1), what: inodeOf("fifo") };
  const [, path = "", sign = "", rest = ""] = /^(.*?)(->|<=|=)(.*)$/s.exec(word) ?? [];
  if (sign === "->") return { path, what: inodeOf("symlink", { content: rest }) };
  if (sign === "<=") return { path, what: { linkTo: rest } };
  if (sign === "=") return { path, what: inodeOf("file", { content: rest }) };
  throw new Error(`not in the house notation: ${word}`);
}
