/** Calls about the content of files, on the union in this process: what the server's OPEN, READ, WRITE and RELEASE would do. */

import { Counters } from "../../../fuse/server/counters.ts";
import { Files } from "../../../fuse/server/files.ts";
import { contentFd } from "../../../fuse/union/content.ts";
import { copyUp } from "../../../fuse/union/copy-up.ts";
import { create } from "../../../fuse/union/create.ts";
import type { Node } from "../../../fuse/union/node.ts";
import { unlink } from "../../../fuse/union/remove.ts";
import type { Change } from "../../../fuse/union/set-attributes.ts";
import { setAttributes } from "../../../fuse/union/set-attributes.ts";
import type { Union } from "../../../fuse/union/union.ts";
import { bytesOf } from "../../../src/paths.ts";
import { allocate, readAt, writeAt } from "../../../src/sys/data.ts";
import * as file from "../../../src/sys/file.ts";
import { FALLOCATE, O_RDWR } from "../../conformance/calls.ts";
import { ROOT } from "../../helpers/union-scene.ts";
import { read } from "../model/apply-data.ts";
import type { Call, Outcome } from "../model/call.ts";
import type { Path } from "../model/tree.ts";
import { type Errno, fail, type UnionWalk } from "./union-walk.ts";

export class UnionData {
  readonly #walk: UnionWalk;
  readonly #union: Union;
  readonly #files: Files;

  constructor(walk: UnionWalk) {
    this.#walk = walk;
    this.#union = walk.union;
    this.#files = new Files(walk.union, -1, new Counters());
  }

  /** What a regular file holds, through a descriptor that is opened for that. */
  content(node: Node): string {
    this.#files.open(node, file.O_RDONLY);
    try {
      return this.#readAll(node);
    } finally {
      this.#files.release(node, file.O_RDONLY);
    }
  }

  #readAll(node: Node): string {
    const size = this.#union.statOf(node).sizeBytes;
    const buffer = Buffer.alloc(size + 1);
    return buffer.toString("latin1", 0, readAt(contentFd(this.#union, node, false), buffer, size + 1, 0));
  }

  /** A file was made, and is not kept open. */
  madeClosed(node: Node): void {
    this.#files.madeClosed(node);
  }

  change(node: Node, change: Change): undefined {
    setAttributes(this.#union, node, change);
  }

  perform(call: Call): Outcome | undefined {
    switch (call.do) {
      case "read": {
        const node = this.#walk.existing(call.path, true);
        if (node.isDirectory) fail("EISDIR");
        return read(node.type === file.S_IFREG ? this.content(node) : "");
      }
      case "replace":
        return this.#replace(call.path, call.text);
      case "write":
        return this.#opened(call.path, "ENXIO", file.O_WRONLY, (node) => this.#write(node, call.text, call.offset));
      case "append":
        return this.#opened(call.path, "ENXIO", file.O_WRONLY, (node) =>
          this.#write(node, call.text, this.#union.statOf(node).sizeBytes),
        );
      case "truncate": {
        return this.change(this.#walk.regularFile(call.path, "EINVAL"), { sizeBytes: call.size });
      }
      case "allocate":
        return this.#opened(call.path, "ESPIPE", O_RDWR, (node) => {
          copyUp(this.#union, node);
          allocate(contentFd(this.#union, node, true), FALLOCATE[call.how], call.offset, call.length);
        });
      case "map":
        return this.#opened(call.path, "ENODEV", O_RDWR, (node) =>
          this.#union.statOf(node).sizeBytes < call.text.length ? "too short" : this.#write(node, call.text, 0),
        );
      case "write open":
        return this.#opened(call.path, "ESPIPE", file.O_RDONLY, (node) => {
          this.#opened(call.path, "ESPIPE", file.O_WRONLY, () => this.#write(node, call.text, 0));
          return read(this.#readAll(node));
        });
      case "unlink open":
        return this.#opened(call.path, "ESPIPE", O_RDWR, (node) => {
          const { parent, name } = this.#walk.find(call.path, false);
          unlink(this.#union, parent, name);
          this.#write(node, call.text, 0);
          return read(this.#readAll(node));
        });
      default:
        throw new Error(`no call: ${call.do}`);
    }
  }

  #opened(path: Path, onFifo: Errno, flags: number, use: (node: Node) => Outcome | undefined): Outcome | undefined {
    const node = this.#walk.regularFile(path, onFifo);
    this.#files.open(node, flags);
    node.lookups += 1; // an open file keeps its inode
    try {
      return use(node) ?? undefined;
    } finally {
      this.#files.release(node, flags);
      this.#union.nodes.forget(node.id, 1);
    }
  }

  #write(node: Node, text: string, offset: number): undefined {
    copyUp(this.#union, node);
    writeAt(contentFd(this.#union, node, true), bytesOf(text), text.length, offset);
  }

  #replace(path: Path, text: string): Outcome | undefined {
    const place = this.#walk.find(path, true);
    if (place.node !== null) {
      return this.#opened(path, "ENXIO", file.O_WRONLY | file.O_TRUNC, (node) => this.#write(node, text, 0));
    }
    const wanted = { mode: file.S_IFREG | 0o644, umask: 0 };
    const { node } = create(this.#union, ROOT, place.parent, place.name, wanted);
    this.#files.openNew(node, file.O_WRONLY);
    this.#write(node, text, 0);
    this.#files.release(node, file.O_WRONLY);
    return undefined;
  }
}
