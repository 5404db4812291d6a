/**
 * The service containerd.services.snapshots.v1.Snapshots over gRPC. Every request is answered exactly once, with a result or a
 * status. What it does is in `snapshotter.ts`; names and namespaces are containerd's affair, which makes them unique.
 */

import { once } from "node:events";
import type { Duplex } from "node:stream";
import { Server, ServerCredentials, type ServerUnaryCall, type ServerWritableStream } from "@grpc/grpc-js";
import type { Logger } from "../../src/log.ts";
import { parseFilters } from "./filter.ts";
import {
  readCleanupRequest,
  readCommitRequest,
  readKey,
  readListRequest,
  readPrepareRequest,
  readUpdateRequest,
  writeEmpty,
  writeInfo,
  writeInfos,
  writeMounts,
  writeUsage,
} from "./messages.ts";
import type { RequestMetrics } from "./metrics.ts";
import type { Snapshotter } from "./snapshotter.ts";
import { CODE, isExpected, statusOf } from "./status.ts";

const SERVICE = "containerd.services.snapshots.v1.Snapshots";
/** Far above any request: a label has 4 KiB, a client hardly ten of them. */
const MAX_REQUEST_BYTES = 1024 * 1024;
/** Of one connection; containerd has one. */
const MAX_CALLS = 1024;

/** From the bytes of a request to those of the response. */
type Handler = (request: Buffer) => Buffer | Promise<Buffer>;

export class GrpcService {
  readonly #server: Server;
  readonly #injector: ReturnType<Server["createConnectionInjector"]>;
  readonly #metrics: RequestMetrics;
  readonly #logger: Logger;

  constructor(snapshotter: Snapshotter, metrics: RequestMetrics, logger: Logger) {
    this.#metrics = metrics;
    this.#logger = logger;
    this.#server = new Server({
      "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
      "grpc.max_concurrent_streams": MAX_CALLS,
      "grpc.enable_channelz": 0,
    });
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    for (const [method, handler] of Object.entries(handlersOf(snapshotter))) this.#addUnary(method, handler);
    this.#addList(snapshotter);
  }

  /** Serves a connection. */
  accept(connection: Duplex): void {
    this.#injector.injectConnection(connection);
  }

  /** Ends every connection once its calls have been answered; those that take longer than `graceMs` get UNAVAILABLE. */
  async close(graceMs: number): Promise<void> {
    this.#injector.drain(graceMs);
    await new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => resolve());
    });
  }

  #addUnary(method: string, handle: Handler): void {
    const run = async (
      call: ServerUnaryCall<Buffer, Buffer>,
      answer: (error: object | null, reply?: Buffer) => void,
    ) => {
      const done = this.#metrics.begin(method);
      try {
        const reply = await handle(call.request);
        done("OK");
        answer(null, reply);
      } catch (error) {
        answer(this.#failure(method, error, done));
      }
    };
    this.#server.register(`/${SERVICE}/${method}`, run, same, same, "unary");
  }

  #addList(snapshotter: Snapshotter): void {
    const run = async (call: ServerWritableStream<Buffer, Buffer>): Promise<void> => {
      const done = this.#metrics.begin("List");
      try {
        for (const page of snapshotter.list(parseFilters(readListRequest(call.request)))) {
          if (call.cancelled) break;
          if (page.length > 0 && !call.write(writeInfos(page))) await once(call, "drain");
          else await new Promise(setImmediate); // between two pages others have their turn
        }
        done("OK");
        call.end();
      } catch (error) {
        call.emit("error", this.#failure("List", error, done));
      }
    };
    this.#server.register(`/${SERVICE}/List`, run, same, same, "serverStream");
  }

  #failure(method: string, error: unknown, done: ReturnType<RequestMetrics["begin"]>): object {
    const status = statusOf(error);
    done(status);
    const details = error instanceof Error ? error.message : String(error);
    if (isExpected(error)) this.#logger.debug("serve.refused", { method, status, details });
    else this.#logger.error("serve.failed", { method, status, details });
    return { code: CODE[status], details };
  }
}

const same = (bytes: Buffer): Buffer => bytes;

function handlersOf(snapshotter: Snapshotter): Readonly<Record<string, Handler>> {
  const nothing = writeEmpty();
  return {
    Prepare: async (request) => writeMounts(await snapshotter.prepare(readPrepareRequest(request))),
    View: async (request) => writeMounts(await snapshotter.view(readPrepareRequest(request))),
    Mounts: (request) => writeMounts(snapshotter.mounts(readKey(request))),
    Stat: (request) => writeInfo(snapshotter.stat(readKey(request))),
    Usage: async (request) => writeUsage(await snapshotter.usage(readKey(request))),
    Update: async (request) => writeInfo(await snapshotter.update(readUpdateRequest(request))),
    Commit: async (request) => {
      await snapshotter.commit(readCommitRequest(request));
      return nothing;
    },
    Remove: async (request) => {
      await snapshotter.remove(readKey(request));
      return nothing;
    },
    Cleanup: async (request) => {
      readCleanupRequest(request);
      await snapshotter.cleanup();
      return nothing;
    },
  };
}
