/**
 * gRPC for a benchmark: HTTP/2 and nothing else. A client with everything (grpc-js) makes so much garbage a call that what is
 * measured are the pauses of its own collector.
 */

import { type ClientHttp2Session, connect } from "node:http2";
import { createConnection } from "node:net";

/** One connection; calls wait for their answers. */
export class LeanClient implements Disposable {
  readonly #session: ClientHttp2Session;

  constructor(socket: string) {
    this.#session = connect("http://localhost", { createConnection: () => createConnection(socket) });
  }

  /** Calls a method with the bytes of its request, and drops those of the response. @throws if the status is not OK */
  call(path: string, message: Buffer): Promise<void> {
    const stream = this.#session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const length = Buffer.alloc(5); // not compressed; then the length
    length.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([length, message]));
    return new Promise((resolve, reject) => {
      let status: string | undefined;
      stream.on("response", (headers) => {
        status = headers["grpc-status"]?.toString();
      });
      stream.on("trailers", (headers) => {
        status = headers["grpc-status"]?.toString();
      });
      stream.on("error", reject);
      stream.on("close", () => (status === "0" ? resolve() : reject(new Error(`${path}: status ${status}`))));
      stream.resume();
    });
  }

  [Symbol.dispose](): void {
    this.#session.close();
  }
}
