/** How far a check is. */

/** Bytes read, of those that will be. */
export interface FsckProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

const INTERVAL_MS = 100;

/** Counts, and tells about ten times a second. */
export class ProgressCounter {
  readonly #totalBytes: number;
  readonly #onProgress: ((progress: FsckProgress) => void) | undefined;
  #doneBytes = 0;
  #nextMs = 0;

  constructor(totalBytes: number, onProgress: ((progress: FsckProgress) => void) | undefined) {
    this.#totalBytes = totalBytes;
    this.#onProgress = onProgress;
  }

  add(bytes: number): void {
    this.#doneBytes += bytes;
    const now = performance.now();
    if (this.#onProgress === undefined || now < this.#nextMs) return;
    this.#nextMs = now + INTERVAL_MS;
    this.#onProgress({ doneBytes: this.#doneBytes, totalBytes: this.#totalBytes });
  }
}
