/** A union filesystem in this process, without a mount: its functions are called as a server calls them. */

import { mkdirSync } from "node:fs";
import { parseFuseOptions } from "../../fuse/options.ts";
import { contentFd } from "../../fuse/union/content.ts";
import { copyUp } from "../../fuse/union/copy-up.ts";
import { lookup } from "../../fuse/union/lookup.ts";
import type { Node } from "../../fuse/union/node.ts";
import { Union } from "../../fuse/union/union.ts";
import { silentLogger } from "../../src/log.ts";
import { bytesFromText, bytesOf } from "../../src/paths.ts";
import { readAt, writeAt } from "../../src/sys/data.ts";
import type { TemporaryDirectory } from "./temporary.ts";
import { writeLayers } from "./tree.ts";

/** Who calls. */
export const ROOT = { uid: 0, gid: 0, pid: 1 };

/** Writes layers, base first in the notation of `tree.ts`, and an empty upperdir and workdir; the options for `openUnion`. */
export function writeScene(directory: TemporaryDirectory, layers: readonly string[]): string {
  const lowerdirs = writeLayers(directory.host(), layers);
  for (const name of ["upper", "work"]) mkdirSync(bytesOf(directory.host(name)));
  return `lowerdir=${lowerdirs.join(":")},upperdir=${directory.host("upper")},workdir=${directory.host("work")},aufs=off`;
}

/** `using union = openUnion(scene);` Open it again to see what the next server sees. */
export function openUnion(options: string): Union {
  return new Union(parseFuseOptions(options), silentLogger);
}

/** The node at a path. @throws if nothing is there */
export function nodeAt(union: Union, path: string): Node {
  let node = union.root;
  for (const name of bytesFromText(path).split("/")) {
    if (name === "") continue;
    const found = lookup(union, node, name);
    if (found === null) throw new Error(`nothing at ${path}`);
    node = found.node;
  }
  return node;
}

/** The content of a file. */
export function contentAt(union: Union, path: string): string {
  const buffer = Buffer.alloc(4096);
  return buffer.toString("latin1", 0, readAt(contentFd(union, nodeAt(union, path), false), buffer, buffer.length, 0));
}

/** Writes over the start of a file. */
export function writeOver(union: Union, path: string, text: string): void {
  const node = nodeAt(union, path);
  copyUp(union, node);
  writeAt(contentFd(union, node, true), Buffer.from(text), text.length, 0);
}
