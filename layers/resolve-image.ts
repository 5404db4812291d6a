/**
 * From what a person types to an image, as docker resolves it: a name wins over a digest, a name without a registry is
 * one of docker.io (or, as in podman, of localhost), and the first digits of an ID are enough if they are unique.
 */

import { type Digest, isDigest, shortDigest } from "../src/digest.ts";
import { ConflictError, LayerctlError, NotFoundError, UsageError } from "../src/errors.ts";
import { findImages, getImage, type ImageRow } from "../src/meta/images.ts";
import { getRef, listRefs, listRefsOf } from "../src/meta/refs.ts";
import { listSnapshotRows } from "../src/meta/snapshots.ts";
import { suggestion } from "./closest-names.ts";
import { familiarName, formatReference, parseReference, type Reference } from "./oci/reference.ts";
import type { Store } from "./store.ts";

/** An image, and the reference that led to it; null if it was found by a digest. */
export interface FoundImage {
  readonly row: ImageRow;
  readonly reference: string | null;
}

const ID_PREFIX = /^(?:sha256:)?([0-9a-f]{4,64})$/;

/**
 * Finds the image that `text` means: a reference, "NAME@DIGEST", a digest of the manifest or the config (docker's image
 * ID), or the first four or more hex digits of one.
 * @throws {NotFoundError} `ERR_IMAGE_NOT_FOUND`, naming what is like it
 * @throws {ConflictError} `ERR_IMAGE_AMBIGUOUS` if several images begin with these digits
 * @throws {UsageError} `ERR_REFERENCE_FORMAT` if it is neither a reference nor hex digits
 */
export function findImage(store: Store, text: string): FoundImage {
  const byName = isDigest(text) ? null : findByName(store, text);
  if (byName !== null) return byName;
  const prefix = ID_PREFIX.exec(text)?.[1];
  const row = prefix === undefined ? null : findByPrefix(store, text, prefix);
  if (row !== null) return { row, reference: null };
  throw notFound(store, text);
}

/**
 * As `findImage`, where a snapshot or a layer may be meant too, and none is called so.
 * @throws {NotFoundError} `ERR_NAME_NOT_FOUND`, naming what is like it, also for what can be no image's name
 */
export function findImageAmongOthers(store: Store, text: string): FoundImage {
  try {
    return findImage(store, text);
  } catch (error) {
    const isUnknown = error instanceof LayerctlError && UNKNOWN_CODES.has(error.code);
    if (!isUnknown || text === "") throw error;
  }
  const names = [...listSnapshotRows(store.db), ...listRefs(store.db)].map(({ name }) => name);
  const state = `nothing is called so${suggestion(text, names.map(shortened))}`;
  throw new NotFoundError("ERR_NAME_NOT_FOUND", `Cannot find "${text}": ${state}`, { data: { text } });
}

const UNKNOWN_CODES: ReadonlySet<string> = new Set(["ERR_IMAGE_NOT_FOUND", "ERR_REFERENCE_FORMAT"]);

/** A reference as people write it; a snapshot's name, which has no colon, as it is. */
function shortened(name: string): string {
  return name.includes(":") ? familiar(name) : name;
}

function findByName(store: Store, text: string): FoundImage | null {
  for (const reference of candidates(text)) {
    if (reference.digest !== null) return findByDigest(store, reference, reference.digest);
    const name = formatReference(reference);
    const digest = getRef(store.db, name);
    const row = digest === null ? null : getImage(store.db, digest);
    if (row !== null) return { row, reference: name };
  }
  return null;
}

/** The references that `text` may stand for, in the order they are tried; none if it can only be an ID. */
function candidates(text: string): readonly Reference[] {
  let first: Reference;
  try {
    first = parseReference(text);
  } catch (error) {
    if (error instanceof UsageError && ID_PREFIX.test(text)) return [];
    throw error;
  }
  const isShort = first.domain === "docker.io" && !/^(?:index\.)?docker\.io\//.test(text);
  return isShort ? [first, { ...first, domain: "localhost", path: text.split(/[:@]/, 1)[0] ?? text }] : [first];
}

/** NAME@DIGEST: the image with this digest, if one of its references has this name. */
function findByDigest(store: Store, { domain, path }: Reference, digest: Digest): FoundImage | null {
  const row = getImage(store.db, digest);
  const isNamed = listRefsOf(store.db, digest).some((name) => name.startsWith(`${domain}/${path}:`));
  return row !== null && isNamed ? { row, reference: null } : null;
}

function findByPrefix(store: Store, text: string, prefix: string): ImageRow | null {
  const rows = findImages(store.db, prefix);
  const exact = rows.find((row) => row.digest === `sha256:${prefix}`);
  if (exact !== undefined) return exact;
  if (rows.length < 2) return rows[0] ?? null;
  const candidates = rows.map((row) => describe(store, row));
  throw new ConflictError(
    "ERR_IMAGE_AMBIGUOUS",
    `Cannot find image "${text}": ${rows.length} images begin like this: ${candidates.join(", ")}`,
    { data: { text, candidates: rows.map((row) => row.digest) } },
  );
}

function describe(store: Store, row: ImageRow): string {
  const name = listRefsOf(store.db, row.digest)[0];
  return `${shortDigest(row.digest)} (${name === undefined ? "untagged" : familiar(name)})`;
}

/** What to call an image in a message: its first reference as people write it, or its short digest. */
export function nameOfImage(store: Store, digest: Digest): string {
  const name = listRefsOf(store.db, digest)[0];
  return name === undefined ? shortDigest(digest) : familiar(name);
}

function notFound(store: Store, text: string): LayerctlError {
  const names = listRefs(store.db).map((ref) => familiar(ref.name));
  const state = `it is not in the store${suggestion(text, names)}`;
  return new NotFoundError("ERR_IMAGE_NOT_FOUND", `Cannot find image "${text}": ${state}`, { data: { text } });
}

/** A full reference as people write it. */
export function familiar(name: string): string {
  return familiarName(parseReference(name));
}
