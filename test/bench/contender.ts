/** One line of a benchmark: what is run and timed, what comes before and after it, and what it is measured against. */

export interface Contender {
  /** The rows of one table: "import node-app", "commit node-app, 10 files". */
  readonly table: string;
  readonly label: string;
  /** A line of bash; "$W" is the place to work in, "$I" the images, "$C" the layerctl to measure, "$S" its store. */
  readonly command: string;
  /** Lines of bash that are not timed. */
  readonly before?: string;
  readonly after?: string;
  /** True for the row that the others of its table are divided by. */
  readonly isLimit?: boolean;
  /** Where a FUSE mount is whose server is measured too, below "$W". */
  readonly serves?: string;
  /** True for a row that is measured beside us whatever `--only` says, as the limit is. */
  readonly isReference?: boolean;
  /** What we hold ourselves to: times the limit, or seconds. */
  readonly target?: { readonly timesLimit: number } | { readonly seconds: number };
  /** Programs without which the row is left out. */
  readonly needs?: readonly string[];
}

/** What a table's rows need once, before the first round. */
export interface Section {
  readonly contenders: readonly Contender[];
  readonly prepare?: string;
}
