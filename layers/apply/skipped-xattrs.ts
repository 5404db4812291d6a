/**
 * Attributes of other systems in a layer (`com.apple.provenance` of a build on macOS), which this file system does not
 * take: left out as docker and containerd do, and named in the result, once a name since every file may have it.
 */

import { isErrno } from "../../src/errors.ts";
import type { TarEntry } from "../tar/entry.ts";

/** An attribute that was left out. */
export interface SkippedXattr {
  /** A byte string; null for all that came after the first hundred names. */
  readonly name: string | null;
  /** How many entries have it. */
  readonly entries: number;
  /** The first of them, as the tar names it. */
  readonly path: string;
}

/** The namespaces of xattr(7). */
const OF_LINUX = /^(?:security|system|trusted|user)\./;
/** A layer chooses the names. */
const MOST_NAMES = 100;

export class SkippedXattrs {
  readonly #byName = new Map<string | null, SkippedXattr>();

  /** True if `error` says that `name` cannot be kept here, and needs not be: it is taken in. */
  take(name: string, entry: Pick<TarEntry, "path">, error: unknown): boolean {
    if (OF_LINUX.test(name) || !isErrno(error, "ENOTSUP")) return false;
    const key = this.#byName.has(name) || this.#byName.size < MOST_NAMES ? name : null;
    const known = this.#byName.get(key);
    this.#byName.set(key, { name: key, entries: (known?.entries ?? 0) + 1, path: known?.path ?? entry.path });
    return true;
  }

  list(): readonly SkippedXattr[] {
    return [...this.#byName.values()];
  }
}
