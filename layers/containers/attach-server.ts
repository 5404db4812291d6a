/** The monitor's side of attached clients: what they type goes to the command, and the size of their terminal to its own. */

import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { OrderedWriter } from "../../src/ordered-writer.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../src/sys/file.ts";
import { setWindowSize } from "../../src/sys/terminal.ts";
import { ATTACH_SOCKET, type Frame, FrameReader } from "./attach-protocol.ts";

/** Where the command's input goes. */
export interface AttachTarget {
  readonly fd: number;
  readonly isTerminal: boolean;
}

/** How long who starts a container may take to be attached to it. */
const PATIENCE_MS = 30_000;

export class AttachServer implements Disposable {
  readonly #server: Server;
  readonly #directory: number;
  readonly #path: Buffer;
  readonly #clients = new Set<Socket>();
  #target: AttachTarget | null = null;
  #writer: OrderedWriter | null = null;
  #size: Buffer | null = null;
  #isOpen = true;
  #onHello: () => void = () => {};
  readonly #hello: Promise<void>;

  private constructor(directory: HostPath) {
    this.#path = bytesOf(joinHost(directory, ATTACH_SOCKET));
    this.#directory = openAt(AT_FDCWD, directory, O_PATH | O_DIRECTORY);
    this.#hello = new Promise((resolve) => {
      this.#onHello = resolve;
    });
    this.#server = createServer((client) => this.#serve(client));
  }

  /** Listens in the container's directory. @throws a system error */
  static async listen(directory: HostPath): Promise<AttachServer> {
    const server = new AttachServer(directory);
    rmSync(server.#path, { force: true }); // of a monitor that was killed
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      // Through the open directory: the path of a socket has to be short.
      server.#server.listen(`/proc/self/fd/${server.#directory}/${ATTACH_SOCKET}`, resolve);
    });
    return server;
  }

  /** Waits for a first client: the size of its terminal, null if it has none. @throws {Error} if none comes */
  async firstClient(): Promise<Buffer | null> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("whoever started the container is not there")), PATIENCE_MS);
    });
    try {
      await Promise.race([this.#hello, late]);
      return this.#size;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What clients send goes to `target` from now on. */
  serve(target: AttachTarget): void {
    this.#target = target;
    this.#writer = new OrderedWriter(target.fd);
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#server.close();
    for (const client of this.#clients) client.destroy();
    rmSync(this.#path, { force: true });
    close(this.#directory);
  }

  #serve(client: Socket): void {
    const reader = new FrameReader();
    this.#clients.add(client);
    client.on("error", () => {});
    client.on("close", () => this.#clients.delete(client));
    client.on("data", (piece: Buffer) => {
      const frames = reader.read(piece);
      if (frames === null) client.destroy();
      else for (const frame of frames) this.#take(frame);
    });
  }

  #take({ kind, bytes }: Frame): void {
    switch (kind) {
      case "hello":
        this.#onHello();
        break;
      case "input":
        this.#writer?.write(bytes);
        break;
      case "end":
        this.#endInput();
        break;
      case "size":
        this.#size = Buffer.from(bytes);
        if (this.#target?.isTerminal === true) setWindowSize(this.#target.fd, this.#size);
    }
  }

  /** A terminal's input has no end but the one that is typed. */
  #endInput(): void {
    const [target, writer] = [this.#target, this.#writer];
    if (target === null || writer === null || target.isTerminal) return;
    this.#target = null;
    this.#writer = null;
    void writer.done.then(() => close(target.fd));
  }
}
