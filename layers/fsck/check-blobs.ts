/** Every blob is there, as long as its row says, and has the bytes of its digest. */

import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { type Digest, digestOfHex } from "../../src/digest.ts";
import { isErrno } from "../../src/errors.ts";
import { type BlobRow, getBlob, listBlobs } from "../../src/meta/blobs.ts";
import { listImagesWithBlob } from "../../src/meta/reachability.ts";
import { bytesOf, type HostPath } from "../../src/paths.ts";
import { nameOfImage } from "../resolve-image.ts";
import type { Store } from "../store.ts";
import type { Finding } from "./finding.ts";
import type { ProgressCounter } from "./progress.ts";

const BUFFER_BYTES = 1024 * 1024;

export interface BlobsChecked {
  readonly findings: readonly Finding[];
  readonly good: ReadonlySet<Digest>;
  readonly bad: readonly Digest[];
}

/** Reads every blob. */
export async function checkBlobs(
  store: Store,
  progress: ProgressCounter,
  signal: AbortSignal | undefined,
): Promise<BlobsChecked> {
  const findings: Finding[] = [];
  const good = new Set<Digest>();
  const bad: Digest[] = [];
  for (const blob of listBlobs(store.db)) {
    signal?.throwIfAborted();
    const problem = await problemOf(store, blob, progress, signal);
    if (problem === null) {
      good.add(blob.digest);
    } else if (getBlob(store.db, blob.digest) !== null) {
      bad.push(blob.digest);
      findings.push(findingOf(store, blob.digest, problem));
    }
  }
  return { findings, good, bad };
}

interface Problem {
  readonly kind: "blob-missing" | "blob-changed";
  readonly message: string;
}

async function problemOf(
  store: Store,
  { digest, sizeBytes }: BlobRow,
  progress: ProgressCounter,
  signal: AbortSignal | undefined,
): Promise<Problem | null> {
  const path = store.blobs.path(digest);
  const size = sizeOrNull(path);
  if (size === null) return { kind: "blob-missing", message: "its file is missing" };
  if (size !== sizeBytes) {
    return { kind: "blob-changed", message: `its file has ${size} bytes, ${sizeBytes} were stored` };
  }
  const hash = createHash("sha256");
  const options = { highWaterMark: BUFFER_BYTES, ...(signal === undefined ? {} : { signal }) };
  for await (const chunk of createReadStream(bytesOf(path), options)) {
    hash.update(chunk as Buffer);
    progress.add((chunk as Buffer).length);
  }
  const actual = digestOfHex(hash.digest("hex"));
  return actual === digest ? null : { kind: "blob-changed", message: `its bytes have the digest ${actual}` };
}

function sizeOrNull(path: HostPath): number | null {
  try {
    return statSync(bytesOf(path)).size;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}

function findingOf(store: Store, digest: Digest, { kind, message }: Problem): Finding {
  const images = listImagesWithBlob(store.db, digest).map((image) => `"${nameOfImage(store, image)}"`);
  const advice = images.length === 0 ? "no image needs it" : `import ${images.join(", ")} again`;
  return { kind, severity: "error", subject: digest, message, advice, repaired: false };
}
