/** What an import accepts from a layer before it calls it hostile. All of these can be set. */

/** Bounds for one layer. */
export interface ApplyLimits {
  /** Bytes of uncompressed tar; what stops a compressed bomb. Default 64 GiB. */
  readonly maxLayerBytes: number;
  /** Members of the tar. Default 10 million. */
  readonly maxEntries: number;
}

export const DEFAULT_LIMITS: ApplyLimits = { maxLayerBytes: 64 * 2 ** 30, maxEntries: 10_000_000 };
