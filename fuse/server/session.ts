/**
 * The conversation with the kernel: one thread reads a request, answers it, and reads the next. Every operation passes the
 * one adapter here, which replies exactly once whatever a handler throws, so that no request can end the server.
 */

import { constants } from "node:os";
import { performance } from "node:perf_hooks"; // the global one is looked up by a function at each use
import { PosixError } from "../../src/errors.ts";
import type { Logger } from "../../src/log.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import { forgetAttributes, readRequestNow, setWaiting, waitForEither, writeReply } from "../../src/sys/fuse-device.ts";
import { isToEnd } from "../../src/sys/pending-signals.ts";
import { OP } from "../protocol/constants.ts";
import { MAX_TRANSFER_BYTES, negotiate } from "../protocol/init.ts";
import { Reply, type Timeout } from "../protocol/reply.ts";
import { IN_HEADER_BYTES, Request } from "../protocol/request.ts";
import { ERRNO } from "../union/errno.ts";
import type { Node } from "../union/node.ts";
import type { Union } from "../union/union.ts";
import type { Counters } from "./counters.ts";
import { errnoOf } from "./errno-of.ts";
import { Files } from "./files.ts";
import { type Finished, LargeCopies, type Waiting } from "./large-copies.ts";
import { HANDLERS, type Session } from "./operations.ts";
import { RequestReader } from "./request-reader.ts";

/** The kernel wants no reply to these. */
const UNANSWERED: ReadonlySet<number> = new Set([OP.forget, OP.batchForget, OP.interrupt]);

/** Room for the headers of a write of the largest size. */
const BUFFER_BYTES = MAX_TRANSFER_BYTES + 4096;

export class Server implements Session {
  readonly union: Union;
  readonly files: Files;
  readonly valid: Timeout;
  readonly given: Node[] = [];
  readonly #device: number;
  readonly log: Logger;
  readonly counters: Counters;
  readonly #copies: LargeCopies;
  readonly #request = new Request(Buffer.allocUnsafeSlow(BUFFER_BYTES));
  readonly #reader: RequestReader;
  readonly #reply = new Reply(Buffer.allocUnsafeSlow(BUFFER_BYTES));

  /** `device` is an open /dev/fuse that is mounted. */
  constructor(union: Union, device: number, counters: Counters, log: Logger) {
    this.union = union;
    this.files = new Files(union, device, counters);
    union.onSideEffect = ({ id, lookups }) => {
      const isTold = this.#request.opcode === OP.setattr && this.#request.nodeId === id; // by the reply
      if (lookups > 0 && !isTold) forgetAttributes(device, id);
    };
    const { timeoutSeconds } = union.options;
    const seconds = Math.floor(timeoutSeconds);
    this.valid = { seconds, rest: Math.floor((timeoutSeconds - seconds) * 1e9) };
    union.tally = counters.caches;
    this.#copies = new LargeCopies(union);
    this.#device = device;
    this.#reader = new RequestReader(device, this.#request.buffer);
    this.log = log;
    this.counters = counters;
  }

  /** Serves until the mount is gone. @throws PosixError if the device itself fails */
  serve(): void {
    using copies = this.#copies;
    for (;;) {
      const size = copies.isBusy ? this.#nextBesideCopies() : this.#reader.read();
      if (size === 0) return;
      const before = performance.now();
      if (!this.#answer(size, false)) continue;
      this.#count(before);
    }
  }

  #count(sinceMs: number): void {
    this.counters.count(this.#request.opcode, (performance.now() - sinceMs) * 1000);
    this.counters.nodes = this.union.nodes.size;
  }

  /** The size of the next request, 0 at the end; what waits for a copy that is over is answered before it. */
  #nextBesideCopies(): number {
    const [device, copies] = [this.#device, this.#copies];
    this.#reader.stopLooking();
    setWaiting(device, false);
    try {
      while (copies.isBusy) {
        if (waitForEither(device, copies.wakeFd)) {
          for (const finished of copies.takeFinished()) this.#answerWaiting(finished);
        }
        const size = readRequestNow(device, this.#request.buffer);
        if (size >= 0) return size;
      }
    } finally {
      setWaiting(device, true);
    }
    return this.#reader.read();
  }

  #answerWaiting({ node, waiting, errno }: Finished): void {
    for (const each of waiting) this.#resume(each, errno);
    this.#copies.drop(node);
  }

  /** Answers a request that was kept: with `errno`, or as if it came now if that is 0. */
  #resume({ bytes, sinceMs }: Waiting, errno: number): void {
    const [request, reply] = [this.#request, this.#reply];
    bytes.copy(request.buffer);
    if (errno === 0) this.#answer(bytes.length, true);
    else {
      this.#forgetGiven();
      request.arrived(bytes.length);
      reply.start(request);
      reply.fail(errno);
      reply.finish();
      this.#send(request, reply);
    }
    this.#count(sinceMs);
  }

  /** False if the request waits for a copy; one that `hasWaited` does not. */
  #answer(size: number, hasWaited: boolean): boolean {
    const request = this.#request;
    const reply = this.#reply;
    this.#forgetGiven();
    try {
      if (this.union.openFiles.isCrowded) this.union.openFiles.makeRoom(this.union.nodes);
      request.arrived(size);
      reply.start(request);
      if (this.#isUnanswered(request)) return true;
      if (!hasWaited && this.#copies.keep(request, size)) return false;
      if (request.opcode === OP.init) this.#init(request, reply);
      else this.#handle(request, reply);
    } catch (error) {
      const errno = this.#errnoOf(error, request);
      this.#takeBack();
      if (size < IN_HEADER_BYTES || UNANSWERED.has(request.opcode)) return true; // nobody to tell
      reply.start(request);
      reply.fail(errno);
    }
    reply.finish();
    this.#send(request, reply);
    return true;
  }

  /** A reply that the kernel refuses is a mistake of ours; who waits for it gets EIO. */
  #send(request: Request, reply: Reply): void {
    try {
      if (!writeReply(this.#device, reply.buffer, reply.size)) this.#takeBack();
    } catch (error) {
      reply.start(request);
      reply.fail(this.#errnoOf(new Error("the kernel refused the reply", { cause: error }), request));
      reply.finish();
      this.#takeBack();
      try {
        writeReply(this.#device, reply.buffer, reply.size);
      } catch {
        return; // said already
      }
    }
  }

  #handle(request: Request, reply: Reply): void {
    const handler = HANDLERS[request.opcode];
    if (handler === undefined) reply.fail(request.opcode === OP.destroy ? 0 : ERRNO.ENOSYS);
    else handler(this, request, reply);
  }

  /** Does what needs no reply. */
  #isUnanswered(request: Request): boolean {
    switch (request.opcode) {
      case OP.forget:
        this.union.nodes.forget(request.nodeId, request.u64(0));
        return true;
      case OP.batchForget: {
        const count = request.u32(0);
        for (let at = 0; at < count; at++) this.union.nodes.forget(request.u64(8 + at * 16), request.u64(16 + at * 16));
        return true;
      }
      case OP.interrupt: {
        const interrupted = this.#copies.interrupt(request, isToEnd); // any other is answered by now
        if (interrupted !== null) this.#resume(interrupted, ERRNO.EINTR);
        return true;
      }
      default:
        return false;
    }
  }

  #init(request: Request, reply: Reply): void {
    const { passthrough, writeback, readOnly } = this.union.options;
    const mayRegister = passthrough && canRestoreOwners(); // the kernel offers it to all, and takes files from root only
    const agreed = negotiate(request, reply, { passthrough: mayRegister, writeback, posixAcl: this.union.hasAcls });
    if (agreed === null) throw new PosixError(constants.errno.EPROTO, "fuse init");
    this.files.hasPassthrough = agreed.hasPassthrough;
    this.files.hasWriteback = agreed.hasWriteback;
    this.files.isOpenless = readOnly && !agreed.hasPassthrough && agreed.mayLeaveOpens;
    this.log.debug("fuse.init", { ...agreed });
  }

  /** Setting the length is a call of the engine's runtime, for each request. */
  #forgetGiven(): void {
    while (this.given.length > 0) this.given.pop();
  }

  /** The kernel never got the references that the reply would have given it. */
  #takeBack(): void {
    for (const node of this.given.splice(0)) {
      if (this.#request.opcode === OP.create || this.#request.opcode === OP.tmpfile)
        this.files.release(node, this.#request.u32(0));
      this.union.nodes.forget(node.id, 1);
    }
  }

  #errnoOf(error: unknown, { opcode, nodeId }: Request): number {
    return errnoOf(error, { opcode, nodeId }, this);
  }
}
