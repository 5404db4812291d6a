/**
 * How often what the server remembers has answered (a hit), and how often a layer had to be asked (a miss): for listings of
 * directories, nodes by their names, and files without extended attributes. In an array, which may be shared memory.
 */

export const CACHES = ["listings", "nodes", "noXattrs"] as const;
export type CacheName = (typeof CACHES)[number];

/** By `CACHES`: hits, misses. */
export const TALLY_NUMBERS = 2 * CACHES.length;

const PLACES: Readonly<Record<CacheName, number>> = { listings: 0, nodes: 2, noXattrs: 4 };

export class CacheTally {
  readonly #numbers: Float64Array;

  constructor(numbers: Float64Array = new Float64Array(TALLY_NUMBERS)) {
    this.#numbers = numbers;
  }

  count(cache: CacheName, isHit: boolean): void {
    const at = PLACES[cache] + (isHit ? 0 : 1);
    this.#numbers[at] = (this.#numbers[at] ?? 0) + 1;
  }

  of(cache: CacheName): { readonly hits: number; readonly misses: number } {
    return { hits: this.#numbers[PLACES[cache]] ?? 0, misses: this.#numbers[PLACES[cache] + 1] ?? 0 };
  }
}
