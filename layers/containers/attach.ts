/** Attached to a container: what it prints from now on, and what is typed for it. Its monitor and its log have the other ends. */

import { closeSync, existsSync, type FSWatcher, fstatSync, openSync, readSync, watch } from "node:fs";
import { connect, type Socket } from "node:net";
import { ConflictError, isSystemError } from "../../src/errors.ts";
import { getContainer } from "../../src/meta/containers.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../src/sys/file.ts";
import type { Lock } from "../locks.ts";
import type { Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { ATTACH_SOCKET, encodeFrame, type FrameKind, MOST_BYTES } from "./attach-protocol.ts";
import { logPath } from "./detached.ts";
import { containerDirectory, findContainer, isHeld, keepForWaiter } from "./held.ts";
import type { ContainerOptions } from "./options.ts";
import { refusePaused } from "./pause.ts";

const PIECE_BYTES = 64 * 1024;
/** The kernel tells when the log grows; where it cannot, this is how often it is looked at. */
const TURN_MS = 100;

export class Attachment implements Disposable {
  readonly snapshot: Snapshot;
  readonly options: ContainerOptions;
  readonly #socket: Socket;
  readonly #log: number;
  readonly #path: Buffer;
  readonly #lock: Lock | null;
  readonly #from: number;
  /** False if no monitor listens. */
  readonly connected: Promise<boolean>;
  readonly #closed: Promise<void>;
  #isOpen = true;

  /** Of a container whose monitor listens. @throws a system error */
  constructor(store: Store, name: string) {
    this.snapshot = findContainer(store, name);
    const { id } = this.snapshot;
    this.options = JSON.parse(getContainer(store.db, id)?.options ?? "{}") as ContainerOptions; // as `createContainer` wrote it
    this.#lock = keepForWaiter(store, id);
    this.#path = logPath(store, id);
    this.#log = openSync(this.#path, "r");
    this.#from = fstatSync(this.#log).size;
    const directory = openAt(AT_FDCWD, containerDirectory(store, id), O_PATH | O_DIRECTORY);
    this.#socket = connect(`/proc/self/fd/${directory}/${ATTACH_SOCKET}`); // the path of a socket has to be short
    this.#socket.on("error", () => {}); // its end says more
    this.#closed = new Promise((resolve) => {
      this.#socket.on("close", () => resolve());
    });
    this.connected = new Promise((resolve) => {
      this.#socket.on("connect", () => resolve(true));
      this.#socket.on("close", () => resolve(false));
    });
    void this.connected.then(() => close(directory));
    this.#socket.resume();
  }

  /** Tells the monitor something, "input" in pieces of any length. */
  send(kind: FrameKind, bytes: Buffer = Buffer.alloc(0)): void {
    for (let at = 0; at === 0 || at < bytes.length; at += MOST_BYTES) {
      this.#socket.write(encodeFrame(kind, bytes.subarray(at, at + MOST_BYTES)));
    }
  }

  /** Hands everything that is printed since it was attached to `take`, until the container ends. @throws what `take` throws */
  async follow(take: (bytes: Buffer) => void): Promise<void> {
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    let at = this.#from;
    const copyRest = (): void => {
      for (let size = 1; size > 0; at += size) {
        size = readSync(this.#log, buffer, 0, buffer.length, at);
        take(buffer.subarray(0, size));
      }
    };
    let fail: (error: unknown) => void = () => {};
    const failed = new Promise<never>((_, reject) => {
      fail = reject;
    });
    const tryCopy = (): void => {
      try {
        copyRest();
      } catch (error) {
        fail(error);
      }
    };
    const watcher = this.#watch(tryCopy);
    const turns = setInterval(tryCopy, TURN_MS);
    try {
      await Promise.race([this.#closed, failed]);
    } finally {
      watcher?.close();
      clearInterval(turns);
    }
    copyRest();
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#socket.destroy();
    closeSync(this.#log);
    this.#lock?.[Symbol.dispose]();
  }

  #watch(onChange: () => void): FSWatcher | null {
    try {
      const watcher = watch(this.#path, onChange);
      watcher.on("error", () => {});
      return watcher;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return null; // the user has no watches left
    }
  }
}

/**
 * Attached to a container that runs.
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED`, `ERR_CONTAINER_PAUSED`, `ERR_NOT_ATTACHABLE`
 * @throws as `findContainer`
 */
export async function attachContainer(store: Store, name: string): Promise<Attachment> {
  const { id, name: ownName } = findContainer(store, name);
  const refuse = (code: string, state: string): ConflictError =>
    new ConflictError(code, `Cannot attach to container "${ownName}": ${state}`, { data: { name: ownName } });
  if (!isHeld(store, id)) {
    throw refuse("ERR_CONTAINER_STOPPED", `it is not running; "layerctl start -a ${ownName}" starts it`);
  }
  await refusePaused(store, id, ownName, "attach to");
  const attachment = existsSync(logPath(store, id)) ? new Attachment(store, ownName) : null;
  if (attachment !== null && (await attachment.connected)) return attachment;
  attachment?.[Symbol.dispose]();
  const state =
    "it runs in front of whoever started it; with -d, with -it and by start it has a monitor to be attached to";
  throw refuse("ERR_NOT_ATTACHABLE", state);
}
