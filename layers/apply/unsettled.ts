/**
 * What an unpacked layer leaves to the layers below it, in a file beside its tree: read by `stitch`, which may be in
 * another thread, and then removed. See `record-file.ts` for why it is a file.
 */

import { byteString, bytesOf, type HostPath, joinHost, type LayerPath } from "../../src/paths.ts";
import { AT_FDCWD, close, O_CREAT, O_EXCL, O_RDONLY, O_WRONLY, openAt, unlinkAt } from "../../src/sys/file.ts";
import { RecordWriter, readRecords } from "./record-file.ts";

/** A directory that takes its metadata from below; a whiteout that was made; a hard link to a file that is not here. */
export type UnsettledKind = "directory" | "whiteout" | "link";

export interface Unsettled {
  readonly path: LayerPath;
  /** Of a link; "" otherwise. */
  readonly target: LayerPath;
}

const LETTERS: Readonly<Record<UnsettledKind, string>> = { directory: "d", whiteout: "w", link: "l" };

/** Collects what is unsettled of the layer that is unpacked in `directory`. Disposing it closes the file. */
export class UnsettledWriter implements Disposable {
  readonly #writer: RecordWriter;
  #fd = -1;
  /** How many there are. */
  count = 0;

  constructor(directory: HostPath) {
    this.#writer = new RecordWriter(() => {
      this.#fd = openAt(AT_FDCWD, fileIn(directory), O_WRONLY | O_CREAT | O_EXCL, 0o600);
      return this.#fd;
    });
  }

  /** Directories come parents first. */
  add(kind: UnsettledKind, path: LayerPath, target = ""): void {
    this.count += 1;
    this.#writer.add(bytesOf(`${LETTERS[kind]}${path}\0${target}`));
  }

  flush(): void {
    this.#writer.flush();
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}

/** What is unsettled in `directory`, and there must be something. Disposing it removes the file. */
export class UnsettledReader implements Disposable {
  readonly #path: HostPath;
  readonly #fd: number;

  constructor(directory: HostPath) {
    this.#path = fileIn(directory);
    this.#fd = openAt(AT_FDCWD, this.#path, O_RDONLY);
  }

  /** Those of a kind, in the order they were added. */
  *all(kind: UnsettledKind): Generator<Unsettled, void, void> {
    for (const record of readRecords(this.#fd)) {
      const text = byteString(record);
      if (text[0] !== LETTERS[kind]) continue;
      const end = text.indexOf("\0");
      yield { path: text.slice(1, end) as LayerPath, target: text.slice(end + 1) as LayerPath };
    }
  }

  [Symbol.dispose](): void {
    close(this.#fd);
    unlinkAt(AT_FDCWD, this.#path);
  }
}

function fileIn(directory: HostPath): HostPath {
  return joinHost(directory, "unsettled");
}
