/**
 * How many descriptors are in use. Those of open files are kept, since most are used again; when nearly as many are open as
 * this process may have, all that a name leads back to are closed, to be opened anew when they are needed. So programs may
 * have more files open in the mount than the server: what has no name any more is all that takes a descriptor.
 */

import { S_IFREG } from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";
import { letGo } from "./content.ts";
import type { Node } from "./node.ts";
import { SERVER } from "./ownership.ts";

/** Of what may be open, the part from which on room is made, and the part that is opened in between at least. */
const [CROWDED, BETWEEN] = [3 / 4, 1 / 8];
const READ_AND_WRITE = 0o600;

export class OpenFiles {
  /** To be looked at between requests: `makeRoom` closes what a request has in hand. */
  isCrowded = false;
  readonly #crowdedFrom: number;
  readonly #between: number;
  #openedSince = 0;

  /** `limit` is how many descriptors this process may have. */
  constructor(limit: number) {
    this.#crowdedFrom = Math.floor(limit * CROWDED);
    this.#between = Math.floor(limit * BETWEEN);
  }

  /** A file was opened. The kernel gives the lowest number that is free, so a high one tells that as many are in use. */
  wasOpened(fd: number): void {
    this.#openedSince += 1;
    if (fd >= this.#crowdedFrom && this.#openedSince >= this.#between) this.isCrowded = true;
  }

  /** Closes what can be opened again, of all the nodes that there are. @throws PosixError */
  makeRoom(nodes: Iterable<Node>): void {
    for (const node of nodes) if (node.fd >= 0 && node.type === S_IFREG && mayOpenAgain(node)) letGo(node);
    this.#openedSince = 0;
    this.isCrowded = false;
  }
}

/** Root may open anything; anyone else what the file's own mode allows now. */
function mayOpenAgain({ fd }: Node): boolean {
  if (SERVER.uid === 0) return true;
  const { uid, mode } = statAt(fd, null);
  return uid === SERVER.uid && (mode & READ_AND_WRITE) === READ_AND_WRITE;
}
