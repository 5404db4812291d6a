/**
 * Digests and the identities made from them (OCI image-spec: descriptor.md "Digests", config.md "Layer DiffID" and
 * "Layer ChainID").
 */

import { IntegrityError, UnsupportedError } from "./errors.ts";

declare const digestBrand: unique symbol;
declare const diffIdBrand: unique symbol;
declare const chainIdBrand: unique symbol;

/** "sha256:" and 64 lower-case hex digits: the digest of a blob's bytes. */
export type Digest = string & { readonly [digestBrand]: true };
/** The digest of a layer's uncompressed tar. */
export type DiffId = Digest & { readonly [diffIdBrand]: true };
/** The digest that names a stack of layers: of the base's diffID, then of "chain diffID" for each above it. */
export type ChainId = Digest & { readonly [chainIdBrand]: true };

const SHA256 = /^sha256:[0-9a-f]{64}$/;

/** Another algorithm's digest, by the grammar of descriptor.md. */
const OTHER_ALGORITHM = /^(?!sha256:)[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/**
 * @throws {IntegrityError} `ERR_DIGEST_FORMAT` if `text` is not a sha256 digest in its canonical form.
 * @throws {UnsupportedError} `ERR_DIGEST_ALGORITHM` if it is a digest of another algorithm.
 */
export function parseDigest(text: unknown): Digest {
  if (typeof text === "string" && SHA256.test(text)) return text as Digest;
  if (typeof text === "string" && OTHER_ALGORITHM.test(text)) {
    const [algorithm] = text.split(":", 1);
    const state = `its algorithm is ${algorithm}; only sha256 is known`;
    throw new UnsupportedError("ERR_DIGEST_ALGORITHM", `Cannot use digest "${text.slice(0, 100)}": ${state}`);
  }
  const shown = typeof text === "string" ? JSON.stringify(text.slice(0, 100)) : String(typeof text);
  throw new IntegrityError("ERR_DIGEST_FORMAT", `Cannot use digest ${shown}: it is not "sha256:" and 64 hex digits`);
}

/** As `parseDigest`, for a string that is a layer's diffID. */
export function parseDiffId(text: unknown): DiffId {
  return parseDigest(text) as DiffId;
}

/** As `parseDigest`, for a string that is a chainID. */
export function parseChainId(text: unknown): ChainId {
  return parseDigest(text) as ChainId;
}

/** True if `text` has the form of a digest. */
export function isDigest(text: string): text is Digest {
  return SHA256.test(text);
}

/** The digest of `bytes`. */
export function digestOf(bytes: Uint8Array | string): Digest {
  // Loaded when needed: that costs 7 ms of processor time.
  return digestOfHex(process.getBuiltinModule("node:crypto").createHash("sha256").update(bytes).digest("hex"));
}

/** The digest with these 64 hex digits, as `createHash("sha256").digest("hex")` gives them. */
export function digestOfHex(hex: string): Digest {
  return `sha256:${hex}` as Digest;
}

/** The 64 hex digits of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/** The first 12 hex digits, for people. */
export function shortDigest(digest: Digest): string {
  return digest.slice("sha256:".length, "sha256:".length + 12);
}

/** The chainID of layer `diffId` on top of `parent` (null for a base layer). */
export function chainIdOf(parent: ChainId | null, diffId: DiffId): ChainId {
  return (parent === null ? diffId : digestOf(`${parent} ${diffId}`)) as unknown as ChainId;
}

/** The chainIDs of a stack, base first: as many as there are diffIDs. */
export function chainIdsOf(diffIds: readonly DiffId[]): readonly ChainId[] {
  const chain: ChainId[] = [];
  let parent: ChainId | null = null;
  for (const diffId of diffIds) {
    parent = chainIdOf(parent, diffId);
    chain.push(parent);
  }
  return chain;
}
