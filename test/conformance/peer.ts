/**
 * A second process for checks that take two: locks, and changes at the same time. Started as a program it does what it is
 * told over the channel that `fork` gives it, one order after the other.
 */

import { fork } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, closeSync } from "node:fs";
import { isSystemError } from "../../src/errors.ts";
import { bytesOf, type HostPath } from "../../src/paths.ts";
import { AT_FDCWD, openAt } from "../../src/sys/file.ts";
import { tryLock } from "../../src/sys/lock.ts";
import { O_RDWR, type RecordLock, setRecordLock } from "./calls.ts";

/** What a peer can be told. Descriptors that lock stay open until "close". */
export type Order =
  | { readonly do: "flock"; readonly path: HostPath; readonly mode: "shared" | "exclusive"; readonly flags: number }
  | {
      readonly do: "lock";
      readonly path: HostPath;
      readonly type: RecordLock;
      readonly start: number;
      readonly lengthBytes: number;
    }
  | { readonly do: "append"; readonly path: HostPath; readonly text: string; readonly times: number }
  | { readonly do: "close" };

export interface Peer extends AsyncDisposable {
  readonly pid: number;
  /** "done", or the errno's name. */
  tell(order: Order): Promise<string>;
}

/** Starts a second process, which ends when this is disposed. */
export function startPeer(): Peer {
  const child = fork(import.meta.filename, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  return {
    pid: child.pid ?? 0,
    async tell(order) {
      const answer = once(child, "message");
      child.send(order);
      const [said] = (await answer) as [string];
      return said;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

const open: number[] = [];

function obey(order: Order): string {
  switch (order.do) {
    case "flock": {
      const fd = openAt(AT_FDCWD, order.path, order.flags);
      open.push(fd);
      return tryLock(fd, order.mode) ? "done" : "EAGAIN";
    }
    case "lock": {
      const fd = openAt(AT_FDCWD, order.path, O_RDWR);
      open.push(fd);
      setRecordLock(fd, "process", order.type, order.start, order.lengthBytes);
      return "done";
    }
    case "append":
      for (let at = 0; at < order.times; at++) appendFileSync(bytesOf(order.path), order.text);
      return "done";
    case "close":
      for (const fd of open.splice(0)) closeSync(fd);
      return "done";
  }
}

if (import.meta.main) {
  process.on("message", (order: Order) => {
    try {
      process.send?.(obey(order));
    } catch (error) {
      process.send?.(isSystemError(error) ? error.code : String(error));
    }
  });
}
