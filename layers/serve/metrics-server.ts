/** HTTP for whoever watches the server: `/metrics` for Prometheus, and `/health`. */

import { createServer, type Server } from "node:http";
import type { Duplex } from "node:stream";

export interface Watched {
  /** The text of /metrics. */
  metrics(): string;
  /** Why the server cannot serve now; null if it can. */
  problem(): string | null;
}

/** Answers connections that are handed to it. */
export class MetricsServer {
  readonly #server: Server;

  constructor(watched: Watched) {
    this.#server = createServer({ requestTimeout: 10_000, maxHeaderSize: 8192 }, ({ method, url }, response) => {
      const [status, body] = answer(watched, method ?? "", url ?? "");
      response.writeHead(status, { "content-type": "text/plain; version=0.0.4; charset=utf-8", connection: "close" });
      response.end(method === "HEAD" ? "" : body);
    });
  }

  accept(connection: Duplex): void {
    this.#server.emit("connection", connection); // as node:http says it may be done
  }

  close(): void {
    this.#server.closeAllConnections();
  }
}

function answer(watched: Watched, method: string, url: string): readonly [status: number, body: string] {
  if (method !== "GET" && method !== "HEAD") return [405, "only GET and HEAD\n"];
  try {
    switch (url.split("?", 1)[0]) {
      case "/metrics":
        return [200, watched.metrics()];
      case "/health": {
        const problem = watched.problem();
        return problem === null ? [200, "ok\n"] : [503, `${problem}\n`];
      }
      default:
        return [404, "there are /metrics and /health\n"];
    }
  } catch (error) {
    return [503, `${error instanceof Error ? error.message : String(error)}\n`];
  }
}
