/** Numbers that people write in options. */

import { UsageError } from "../src/errors.ts";

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/**
 * Bytes: "4096", "512k", "1.5GB" (powers of 1000), "2GiB" (powers of 1024); the B may be left out.
 * @throws {UsageError} `ERR_SIZE_FORMAT`
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgt]?i?)b?$/i.exec(text);
  const unit = UNITS[(match?.[2] ?? "?").toLowerCase()];
  const size = unit === undefined ? Number.NaN : Math.round(Number(match?.[1]) * unit);
  if (Number.isSafeInteger(size)) return size;
  throw new UsageError(
    "ERR_SIZE_FORMAT",
    `Cannot use size "${text}": write bytes, or a number with k, M, G, Ki, Mi, Gi`,
  );
}

/**
 * A whole number of at least 1.
 * @throws {UsageError} `ERR_COUNT_FORMAT`
 */
export function parseCount(text: string): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (count >= 1) return count;
  throw new UsageError("ERR_COUNT_FORMAT", `Cannot use count "${text}": write a whole number of at least 1`);
}
