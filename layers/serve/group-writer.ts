/**
 * Changes of many callers, made durable together: what came in while the disk was busy goes into one transaction and waits
 * for one sync. A caller hears of its change when it would survive a power cut.
 */

import { setImmediate } from "node:timers/promises";
import { LayerctlError } from "../../src/errors.ts";
import type { Database } from "../../src/meta/database.ts";
import type { LogKeeper } from "./log-keeper.ts";

interface Waiting {
  /** Changes rows; gives what to do when that is durable. */
  readonly work: () => () => void;
  /** The change is nothing without what it says of the file system. */
  readonly isOfDirectory: boolean;
  readonly reject: (error: unknown) => void;
}

/** Changes after which the log is copied into the database: about as many as fill the thousand pages that SQLite waits for. */
const CHANGES_A_CHECKPOINT = 256;

export class GroupWriter {
  readonly #db: Database;
  readonly #log: LogKeeper;
  #changes = 0;
  #isLogLong = false;
  #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(db: Database, log: LogKeeper) {
    this.#db = db;
    this.#log = log;
    db.prepareLog();
  }

  /**
   * Runs `work` in a transaction, and gives what it returned once that is on disk. `work` must not await, and must refuse
   * (throw a `LayerctlError`) before it changes anything; whatever else it throws undoes the changes of the whole group.
   */
  change<Result>(work: () => Result): Promise<Result> {
    return this.#change(work, false);
  }

  /** As `change`; directories that are there now are on disk then too. */
  changeWithDirectory<Result>(work: () => Result): Promise<Result> {
    return this.#change(work, true);
  }

  #change<Result>(work: () => Result, isOfDirectory: boolean): Promise<Result> {
    return new Promise((resolve, reject) => {
      const settle = (): (() => void) => {
        const result = work();
        return () => resolve(result);
      };
      this.#waiting.push({ work: settle, isOfDirectory, reject });
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      if (this.#isLogLong) await this.#log.restart();
      this.#isLogLong = false;
      await setImmediate(); // when all requests that have arrived have been read
      const group = this.#waiting;
      this.#waiting = [];
      try {
        await this.#commit(group);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#isRunning = false;
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    const done: (() => void)[] = [];
    this.#db.transaction("relaxed", () => {
      for (const { work, reject } of group) {
        try {
          done.push(work());
        } catch (error) {
          if (!(error instanceof LayerctlError)) throw error;
          reject(error);
        }
      }
    });
    if (done.length > 0) await this.#db.flush(group.some((each) => each.isOfDirectory) ? "journal" : "data");
    for (const settle of done) settle();
    this.#changes += done.length;
    if (this.#changes < CHANGES_A_CHECKPOINT) return;
    this.#changes = 0;
    void this.#log.checkpoint().then((isLogLong) => {
      this.#isLogLong = isLogLong;
    });
  }
}
