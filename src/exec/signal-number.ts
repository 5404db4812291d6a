/** Names of signals, as docker takes them (moby/sys/signal). */

import { constants } from "node:os";

const LARGEST_SIGNAL = 64;

/** A signal's number by its name or number: "TERM", "SIGTERM", "15", "RTMIN+3"; null if there is none of this name. */
export function signalNumber(text: string): number | null {
  const upper = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(upper);
  const [base, sign] = [realTime?.[1] === "MIN" ? 34 : LARGEST_SIGNAL, realTime?.[2] === "-" ? -1 : 1];
  const known = constants.signals[`SIG${upper}` as NodeJS.Signals] as number | undefined;
  const number =
    realTime !== null ? base + sign * Number(realTime[3] ?? 0) : (known ?? (/^\d+$/.test(upper) ? Number(upper) : 0));
  return number >= 1 && number <= LARGEST_SIGNAL ? number : null;
}
