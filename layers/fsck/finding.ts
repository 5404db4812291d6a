/** What `fsck` finds. */

type FindingKind =
  | "database-damaged"
  | "blob-missing"
  | "blob-changed"
  | "layer-missing"
  | "layer-changed"
  | "image-incomplete"
  | "snapshot-incomplete"
  | "held-incomplete"
  | "garbage";

export interface Finding {
  readonly kind: FindingKind;
  /** "error": something is lost or wrong. "garbage": files that nothing needs, for `gc`; the store is sound. */
  readonly severity: "error" | "garbage";
  /** The digest, chainID, name or file that it is about. */
  readonly subject: string;
  /** The state found. */
  readonly message: string;
  /** What can be done about it, or is left to do after a repair. */
  readonly advice: string;
  /** True if the store is in order again in this point. */
  readonly repaired: boolean;
}
