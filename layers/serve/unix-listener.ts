/**
 * A unix socket to be called at: its own path, or one that systemd opened (sd_listen_fds(3)). It appears under its name when it
 * has its mode and group and listens, in the place of one that nobody serves any more. Whoever connects is looked at before a
 * byte is read.
 */

import { chmodSync, chownSync, lstatSync, renameSync, rmSync, type Stats, statSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { ConflictError, isErrno, UsageError } from "../../src/errors.ts";
import type { Logger } from "../../src/log.ts";
import { bytesOf, display, type HostPath } from "../../src/paths.ts";
import { boundPathOf, MAX_SOCKET_PATH_BYTES, type Peer, peerOf } from "../../src/sys/unix-socket.ts";

export interface SocketOptions {
  readonly path: HostPath;
  readonly mode: number;
  /** Whose group it is, and whose members may call; null: only root and the server's own user. */
  readonly gid: number | null;
}

/** systemd's, before it is known by its path. */
const FIRST_PASSED_FD = 3;
/** It is bound under this name and then renamed. */
const NEW = ".new";
const BACKLOG = 128;

/** The descriptors that systemd handed to this process. */
export function passedDescriptors(): readonly number[] {
  if (process.env.LISTEN_PID !== String(process.pid)) return [];
  const count = Number.parseInt(process.env.LISTEN_FDS ?? "0", 10);
  return Array.from({ length: count }, (_, index) => FIRST_PASSED_FD + index);
}

/** Listens until it is closed. */
export class UnixListener {
  readonly #server: Server;
  readonly #options: SocketOptions;
  /** The socket's file, if it is ours to remove. */
  #made: Stats | null = null;

  private constructor(server: Server, options: SocketOptions) {
    this.#server = server;
    this.#options = options;
  }

  /**
   * `take` gets every connection of who may call.
   * @throws {ConflictError} `ERR_SOCKET_IN_USE` if somebody answers there; `ERR_SOCKET_TYPE` if it is something else
   * @throws {UsageError} `ERR_SOCKET_PATH` if the path is too long for a socket
   */
  static async open(options: SocketOptions, logger: Logger, take: (socket: Socket) => void): Promise<UnixListener> {
    const server = createServer((socket) => {
      if (isWelcome(socket, options, logger)) take(socket);
      else socket.destroy();
    });
    const listener = new UnixListener(server, options);
    if (!(await listener.#usePassed())) await listener.#bind();
    server.on("error", (error) => logger.error("serve.socket", { path: display(options.path), error: String(error) }));
    return listener;
  }

  /** Nobody connects any more; connections that are there go on. */
  close(): void {
    if (this.#made !== null && isSame(this.#made, statOf(this.#options.path))) {
      rmSync(bytesOf(this.#options.path), { force: true });
    }
    this.#server.close();
  }

  /** True if systemd handed over a socket of this path. */
  async #usePassed(): Promise<boolean> {
    for (const fd of passedDescriptors()) {
      if (boundPathOf(fd) !== this.#options.path) continue;
      await listen(this.#server, { fd });
      return true;
    }
    return false;
  }

  async #bind(): Promise<void> {
    const { path, mode, gid } = this.#options;
    const temporary = `${path}${NEW}` as HostPath;
    if (temporary.length > MAX_SOCKET_PATH_BYTES) throw tooLong(path);
    statSync(bytesOf(dirname(path))); // libuv calls a missing directory EACCES, and does not name it
    await refuseOccupied(path);
    rmSync(bytesOf(temporary), { force: true });
    const umask = process.umask(0o177); // nobody else connects before it is as it should be
    try {
      await listen(this.#server, { path: bytesOf(temporary).toString(), backlog: BACKLOG });
    } finally {
      process.umask(umask);
    }
    if (gid !== null) chownSync(bytesOf(temporary), -1, gid);
    chmodSync(bytesOf(temporary), mode);
    renameSync(bytesOf(temporary), bytesOf(path));
    this.#made = statOf(path);
  }
}

function listen(server: Server, where: object): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Root, the server's own user, and the socket's group. */
function isWelcome(socket: Socket, { path, gid }: SocketOptions, logger: Logger): boolean {
  let peer: Peer;
  try {
    peer = peerOf(descriptorOf(socket));
  } catch (error) {
    logger.warn("serve.peer.unknown", { path: display(path), error: String(error) });
    return false;
  }
  const isWelcome = peer.uid === 0 || peer.uid === process.geteuid?.() || (gid !== null && peer.gids.includes(gid));
  if (!isWelcome) logger.warn("serve.peer.refused", { path: display(path), pid: peer.pid, uid: peer.uid });
  return isWelcome;
}

/** Node has no public name for it. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { readonly _handle: { readonly fd: number } | null };
  return handle?.fd ?? -1;
}

function statOf(path: HostPath): Stats | null {
  return lstatSync(bytesOf(path), { throwIfNoEntry: false }) ?? null;
}

function isSame(one: Stats, other: Stats | null): boolean {
  return other !== null && one.ino === other.ino && one.dev === other.dev;
}

/** A socket that nobody listens at may be replaced; nothing else may. */
async function refuseOccupied(path: HostPath): Promise<void> {
  const stat = statOf(path);
  if (stat === null) return;
  const shown = display(path);
  if (!stat.isSocket()) {
    const message = `Cannot listen at "${shown}": there is something else than a socket; remove it, or choose another path`;
    throw new ConflictError("ERR_SOCKET_TYPE", message, { data: { path: shown } });
  }
  if (!(await answers(path))) return;
  const message = `Cannot listen at "${shown}": another process serves it; end that first, or choose another path`;
  throw new ConflictError("ERR_SOCKET_IN_USE", message, { data: { path: shown } });
}

function answers(path: HostPath): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(bytesOf(path).toString());
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", (error) => {
      if (isErrno(error, "ECONNREFUSED", "ENOENT")) resolve(false);
      else reject(error);
    });
  });
}

function tooLong(path: HostPath): UsageError {
  const most = MAX_SOCKET_PATH_BYTES - NEW.length;
  const message = `Cannot listen at "${display(path)}": a socket's path has at most ${most} bytes, this one ${path.length}`;
  return new UsageError("ERR_SOCKET_PATH", message, { data: { path: display(path) } });
}
