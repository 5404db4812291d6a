/** Keeps the database's log short, in a thread of its own: changes may wait for this, and must not for the removal of a tree. */

import type { Store } from "../store.ts";
import { SlowWork } from "./slow-work.ts";

/** What fails is told to the logger, and the next one has another try. Disposing waits for what was asked for. */
export class LogKeeper implements AsyncDisposable {
  readonly #store: Store;
  readonly #slow = new SlowWork();

  constructor(store: Store) {
    this.#store = store;
  }

  /** As `Database.checkpoint`. */
  checkpoint(): Promise<boolean> {
    return this.#try(() => this.#slow.checkpoint(this.#store.layout.database));
  }

  /** As `Database.restartLog`. */
  async restart(): Promise<void> {
    await this.#try(async () => {
      await this.#slow.restartLog(this.#store.layout.database);
      return false;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#slow[Symbol.asyncDispose]();
  }

  async #try(work: () => Promise<boolean>): Promise<boolean> {
    try {
      return await work();
    } catch (error) {
      this.#store.logger.warn("held.checkpoint", { error: String(error) });
      return false;
    }
  }
}
