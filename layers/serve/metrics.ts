/** What a server has counted, in the text format of Prometheus (version 0.0.4). */

import type { CodeName } from "./status.ts";

/** The upper bounds of the histogram's buckets, in seconds. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10] as const;

interface MethodCounts {
  readonly codes: Map<CodeName, number>;
  readonly buckets: number[];
  seconds: number;
  calls: number;
}

/** A number to be shown with others: its name, what it means, and its values by label. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly values: readonly (readonly [labels: string, value: number])[];
}

/** Counts requests, how they ended and how long they took. */
export class RequestMetrics {
  readonly #methods = new Map<string, MethodCounts>();
  #inFlight = 0;

  /** Counts a request that has come; what it gives is to be called once, with how it ended. */
  begin(method: string): (code: CodeName) => void {
    const begun = performance.now();
    this.#inFlight += 1;
    return (code) => {
      this.#inFlight -= 1;
      this.#count(method, code, (performance.now() - begun) / 1000);
    };
  }

  #count(method: string, code: CodeName, seconds: number): void {
    let counts = this.#methods.get(method);
    if (counts === undefined) {
      counts = { codes: new Map(), buckets: BUCKETS.map(() => 0), seconds: 0, calls: 0 };
      this.#methods.set(method, counts);
    }
    counts.codes.set(code, (counts.codes.get(code) ?? 0) + 1);
    counts.calls += 1;
    counts.seconds += seconds;
    const bucket = BUCKETS.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) counts.buckets[bucket] = (counts.buckets[bucket] ?? 0) + 1;
  }

  /** All of it, and `more`. */
  format(more: readonly Metric[]): string {
    const methods = [...this.#methods].sort(([a], [b]) => (a < b ? -1 : 1));
    const requests = methods.flatMap(([method, { codes }]) =>
      [...codes].map(([code, count]) => [`method="${method}",code="${code}"`, count] as const),
    );
    return [
      ...lines({ name: "layerctl_requests_total", help: "Requests answered.", type: "counter", values: requests }),
      ...lines({
        name: "layerctl_requests_in_flight",
        help: "Requests not yet answered.",
        type: "gauge",
        values: [["", this.#inFlight]],
      }),
      "# HELP layerctl_request_seconds How long requests took.",
      "# TYPE layerctl_request_seconds histogram",
      ...methods.flatMap(([method, counts]) => histogramLines(method, counts)),
      ...more.flatMap(lines),
      "",
    ].join("\n");
  }
}

function lines({ name, help, type, values }: Metric): readonly string[] {
  const rows = values.map(([labels, value]) => `${name}${labels === "" ? "" : `{${labels}}`} ${value}`);
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...rows];
}

function histogramLines(method: string, { buckets, seconds, calls }: MethodCounts): readonly string[] {
  let below = 0;
  const rows = BUCKETS.map((bound, index) => {
    below += buckets[index] ?? 0;
    return `layerctl_request_seconds_bucket{method="${method}",le="${bound}"} ${below}`;
  });
  return [
    ...rows,
    `layerctl_request_seconds_bucket{method="${method}",le="+Inf"} ${calls}`,
    `layerctl_request_seconds_sum{method="${method}"} ${seconds.toFixed(6)}`,
    `layerctl_request_seconds_count{method="${method}"} ${calls}`,
  ];
}
