/**
 * Bars for long work, on stderr: one line that is redrawn, only on a terminal, at most ten times a second. Whatever else
 * is written must call `clear` first, or start on the line the bar is on.
 */

import { isTerminal } from "../src/sys/terminal.ts";
import { formatSize, STDERR, safeText, tell } from "./output.ts";

const INTERVAL_MS = 100;
const BAR_CELLS = 24;
const CLEAR_LINE = "\r\x1b[K";

/** What is shown. `total` is 0 while it is not known. */
export interface ProgressState {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly unit: "bytes" | "items";
}

export interface Progress extends Disposable {
  show(state: ProgressState): void;
  /** Removes the bar, so that a line can be written. */
  clear(): void;
}

const nothing = (): void => {};
const SILENT: Progress = { show: nothing, clear: nothing, [Symbol.dispose]: nothing };

/** A bar if stderr is a terminal, else nothing. */
export function openProgress(isWanted: boolean): Progress {
  return isWanted && isTerminal(STDERR) ? new Bar(tell) : SILENT;
}

/** Draws with `draw`; `columns` is the width of the terminal, which is 0 on a serial line. */
export class Bar implements Progress {
  readonly #draw: (text: string) => void;
  readonly #columns: () => number;
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #isVisible = false;

  constructor(draw: (text: string) => void, columns: () => number = () => process.stderr.columns || 80) {
    this.#draw = draw;
    this.#columns = columns;
  }

  show(state: ProgressState): void {
    const nowMs = performance.now();
    if (nowMs - this.#drawnAtMs < INTERVAL_MS) return;
    this.#drawnAtMs = nowMs;
    this.#isVisible = true;
    this.#draw(CLEAR_LINE + barLine(state, this.#columns()));
  }

  clear(): void {
    if (this.#isVisible) this.#draw(CLEAR_LINE);
    this.#isVisible = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/** The line for `state`, shorter than `columns`: a line that wraps could not be redrawn. */
export function barLine(state: ProgressState, columns: number): string {
  const show = state.unit === "bytes" ? formatSize : String;
  const label = safeText(state.label);
  if (state.total <= 0) return `${label}  ${show(state.done)}`.slice(0, columns - 1);
  const share = Math.min(1, state.done / state.total);
  const filled = Math.round(share * BAR_CELLS);
  const bar = `[${"#".repeat(filled)}${"-".repeat(BAR_CELLS - filled)}]`;
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  return `${bar} ${percent}  ${show(state.done)} / ${show(state.total)}  ${label}`.slice(0, columns - 1);
}
