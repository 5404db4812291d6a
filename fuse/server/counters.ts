/**
 * What a server counts: requests by kind, how long they took, what it holds. Kept in shared memory, so that it can be read
 * while the thread that serves waits for the kernel.
 */

import { OP, OP_COUNT } from "../protocol/constants.ts";
import { type CacheName, CacheTally, TALLY_NUMBERS } from "../union/cache-tally.ts";

export const STATISTICS_BYTES = 4096;

/** Buckets of the latency histogram: under 1 µs, 2, 4 … 2^30 µs. */
const BUCKETS = 32;
const [NODES, ERRORS, PASSTHROUGH_OPENS, CACHED_OPENS, STARTED_MS] = [0, 1, 2, 3, 4];
const GAUGES = 8;

export class Counters {
  readonly shared: SharedArrayBuffer;
  readonly #requests: Float64Array;
  readonly #latency: Float64Array;
  readonly #gauges: Float64Array;

  /** For the union to count in. */
  readonly caches: CacheTally;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(8 * (OP_COUNT + BUCKETS + GAUGES + TALLY_NUMBERS))) {
    this.shared = shared;
    this.#requests = new Float64Array(shared, 0, OP_COUNT);
    this.#latency = new Float64Array(shared, 8 * OP_COUNT, BUCKETS);
    this.#gauges = new Float64Array(shared, 8 * (OP_COUNT + BUCKETS), GAUGES);
    this.caches = new CacheTally(new Float64Array(shared, 8 * (OP_COUNT + BUCKETS + GAUGES), TALLY_NUMBERS));
  }

  /** Counts a request that took `micros`. */
  count(opcode: number, micros: number): void {
    if (opcode < OP_COUNT) this.#requests[opcode] = (this.#requests[opcode] ?? 0) + 1;
    const bucket = micros < 1 ? 0 : Math.min(BUCKETS - 1, 32 - Math.clz32(micros));
    this.#latency[bucket] = (this.#latency[bucket] ?? 0) + 1;
  }

  set nodes(count: number) {
    this.#gauges[NODES] = count;
  }

  set startedAtMs(time: number) {
    this.#gauges[STARTED_MS] = time;
  }

  addError(): void {
    this.#gauges[ERRORS] = (this.#gauges[ERRORS] ?? 0) + 1;
  }

  addOpen(isPassthrough: boolean): void {
    const gauge = isPassthrough ? PASSTHROUGH_OPENS : CACHED_OPENS;
    this.#gauges[gauge] = (this.#gauges[gauge] ?? 0) + 1;
  }

  /** All of it, as a document. Kinds that never came are left out. */
  snapshot(): Statistics {
    const requests: Record<string, number> = {};
    for (const [name, opcode] of Object.entries(OP)) {
      const count = this.#requests[opcode] ?? 0;
      if (count > 0) requests[name] = count;
    }
    const latency = [...this.#latency].flatMap((count, bucket) =>
      count > 0 ? [{ underMicros: 2 ** bucket, count }] : [],
    );
    const gauge = (index: number): number => this.#gauges[index] ?? 0;
    return {
      requests,
      latency,
      knownInodes: gauge(NODES),
      failedRequests: gauge(ERRORS),
      opens: { passthrough: gauge(PASSTHROUGH_OPENS), cached: gauge(CACHED_OPENS) },
      caches: {
        listings: this.caches.of("listings"),
        nodes: this.caches.of("nodes"),
        noXattrs: this.caches.of("noXattrs"),
      },
      startedAt: new Date(gauge(STARTED_MS)).toISOString(),
      memoryBytes: process.memoryUsage.rss(),
    };
  }
}

/** What `layerctl mounts --stats` and SIGUSR1 tell. */
export interface Statistics {
  readonly requests: Readonly<Record<string, number>>;
  readonly latency: readonly { readonly underMicros: number; readonly count: number }[];
  readonly knownInodes: number;
  /** Answered with EIO because something unexpected happened. */
  readonly failedRequests: number;
  readonly opens: { readonly passthrough: number; readonly cached: number };
  /** What the server answered from memory, and for what it asked a layer. */
  readonly caches: Readonly<Record<CacheName, { readonly hits: number; readonly misses: number }>>;
  readonly startedAt: string;
  readonly memoryBytes: number;
}
