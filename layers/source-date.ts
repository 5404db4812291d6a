/** Reproducible dates: SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch), in seconds since the epoch. */

import { UsageError } from "../src/errors.ts";

/**
 * The latest time that may be written, in nanoseconds since the epoch; null if none is set.
 * @throws {UsageError} `ERR_SOURCE_DATE_EPOCH` if the variable is not a whole number of seconds
 */
export function sourceDateNs(): bigint | null {
  const text = process.env.SOURCE_DATE_EPOCH;
  if (text === undefined || text === "") return null;
  if (/^\d{1,11}$/.test(text)) return BigInt(text) * 1_000_000_000n;
  throw new UsageError(
    "ERR_SOURCE_DATE_EPOCH",
    `Cannot use SOURCE_DATE_EPOCH ${JSON.stringify(text.slice(0, 50))}: it must be a number of seconds since 1970`,
  );
}

/** Now, or SOURCE_DATE_EPOCH, as image configs write it (RFC 3339, UTC). */
export function createdNow(): string {
  const clamp = sourceDateNs();
  const date = clamp === null ? new Date() : new Date(Number(clamp / 1_000_000n));
  return date.toISOString().replace(".000Z", "Z");
}
