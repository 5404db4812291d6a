/**
 * Makes finished layers permanent in groups: one syncfs for all that finished while the last one ran, instead of an
 * fsync for each file (design.md §8: temp → sync → rename → sync of the directory → row).
 */

import { open } from "node:fs/promises";
import { bytesOf } from "../../src/paths.ts";
import type { AdoptedFile } from "../content/blob-store.ts";
import type { Store } from "../store.ts";
import type { Writeback } from "./writeback.ts";

/** One layer: what moves into place, and the rows that say so. */
export interface Addition {
  readonly blob: AdoptedFile | null;
  /** Renames what has been synced. */
  readonly moveIn: () => void;
  /** Writes the rows, in a transaction with those of the rest of the group. */
  readonly record: () => void;
}

interface Waiting {
  readonly addition: Addition;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Collects additions while a sync is under way, then syncs once for all of them. */
export class GroupCommit {
  readonly #store: Store;
  readonly #writeback: Writeback;
  #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(store: Store, writeback: Writeback) {
    this.#store = store;
    this.#writeback = writeback;
  }

  /** Fulfilled once the addition is permanent. */
  async add(addition: Addition): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ addition, resolve, reject });
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        await this.#commit(group.map(({ addition }) => addition));
        for (const { resolve } of group) resolve();
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#isRunning = false;
  }

  async #commit(additions: readonly Addition[]): Promise<void> {
    const { layout, blobs, db } = this.#store;
    await using directory = await open(bytesOf(layout.layers), "r");
    await this.#writeback.sync();
    const files = additions.flatMap(({ blob }) => (blob === null ? [] : [blob]));
    await blobs.adoptAll(files, { synced: true });
    for (const { moveIn } of additions) moveIn();
    await directory.sync();
    db.transaction("relaxed", () => {
      for (const { record } of additions) record();
    });
  }
}
