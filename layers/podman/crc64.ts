/**
 * CRC-64 of ISO 3309, as Go's hash/crc64 computes it: polynomial x^64 + x^4 + x^3 + x + 1, bits reversed, all of them
 * inverted before and after. Eight bytes a step, in halves of 32 bits: some hundred MB a second, where BigInt does ten.
 */

const POLYNOMIAL_HIGH = 0xd8000000;
const LANES = 8;

/** At `256 * lane + byte`: what a byte adds that `lane` other bytes follow. */
const HIGH = new Int32Array(256 * LANES);
const LOW = new Int32Array(256 * LANES);

function high(index: number): number {
  return HIGH[index] as number; // every index is a byte within a lane
}

function low(index: number): number {
  return LOW[index] as number;
}

for (let byte = 0; byte < 256; byte++) {
  let [h, l] = [0, byte];
  for (let bit = 0; bit < 8; bit++) [h, l] = [(h >>> 1) ^ (l & 1 ? POLYNOMIAL_HIGH : 0), (l >>> 1) | (h << 31)];
  HIGH[byte] = h;
  LOW[byte] = l;
}
for (let index = 256; index < 256 * LANES; index++) {
  const [h, l] = [high(index - 256), low(index - 256)];
  HIGH[index] = (h >>> 8) ^ high(l & 0xff);
  LOW[index] = ((l >>> 8) | (h << 24)) ^ low(l & 0xff);
}

/** A checksum in the making: `update` with the bytes in order, then `digest`. */
export class Crc64 {
  #high = -1;
  #low = -1;

  update(bytes: Buffer): void {
    let h = this.#high;
    let l = this.#low;
    const whole = bytes.length - (bytes.length % LANES);
    let at = 0;
    for (; at < whole; at += LANES) {
      l ^= bytes.readInt32LE(at);
      h ^= bytes.readInt32LE(at + 4);
      const a = 1792 + (l & 0xff);
      const b = 1536 + ((l >>> 8) & 0xff);
      const c = 1280 + ((l >>> 16) & 0xff);
      const d = 1024 + (l >>> 24);
      const e = 768 + (h & 0xff);
      const f = 512 + ((h >>> 8) & 0xff);
      const g = 256 + ((h >>> 16) & 0xff);
      const last = h >>> 24;
      l = low(a) ^ low(b) ^ low(c) ^ low(d) ^ low(e) ^ low(f) ^ low(g) ^ low(last);
      h = high(a) ^ high(b) ^ high(c) ^ high(d) ^ high(e) ^ high(f) ^ high(g) ^ high(last);
    }
    for (; at < bytes.length; at++) {
      const index = (l ^ (bytes[at] as number)) & 0xff;
      l = ((l >>> 8) | (h << 24)) ^ low(index);
      h = (h >>> 8) ^ high(index);
    }
    this.#high = h;
    this.#low = l;
  }

  /** Big-endian, as Go's Sum gives it. */
  digest(): Buffer {
    const sum = Buffer.alloc(8);
    sum.writeInt32BE(~this.#high, 0);
    sum.writeInt32BE(~this.#low, 4);
    return sum;
  }
}
