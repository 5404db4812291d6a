/**
 * Which images of an OCI layout's index are meant: the entries with one name are one image for different platforms,
 * of which one is chosen; nested indexes likewise. Attestations, artifacts of other kinds, and manifests whose blob is
 * not there (docker saves an index of all platforms with the blobs of one) are no candidates.
 */

import type { Digest } from "../../src/digest.ts";
import { IntegrityError, UnsupportedError } from "../../src/errors.ts";
import type { Descriptor, Platform } from "../oci/descriptor.ts";
import { isAttestation, parseIndex } from "../oci/image-index.ts";
import { artifactTypeOf, MANIFEST_LIMIT_BYTES } from "../oci/manifest.ts";
import { indexEntryKind } from "../oci/media-types.ts";
import { hostPlatform, platformRank } from "../oci/platform.ts";
import { noImageFor } from "./refusals.ts";
import { blobName, readBlob, type SourceFiles } from "./source-files.ts";

/** How deep indexes may be nested. Real ones reach 2. */
const DEPTH_LIMIT = 8;

/** A manifest that could be the image meant. */
interface Candidate {
  readonly descriptor: Descriptor;
  readonly platform: Platform;
  /** The entry of the layout's index that led here. */
  readonly entry: Descriptor;
}

/** What was met besides candidates, for the message when there are none. */
interface Walk {
  readonly candidates: Candidate[];
  readonly seen: Set<Digest>;
  missing: Digest | null;
  otherType: string | null;
}

/** Chooses manifests from entries of an index. */
export class ImageChooser {
  readonly #files: SourceFiles;
  readonly #wanted: Platform | undefined;
  readonly #platformOf: (manifest: Descriptor) => Promise<Platform>;

  /** `platformOf` reads the platform of a manifest whose descriptor gives none. */
  constructor(
    files: SourceFiles,
    wanted: Platform | undefined,
    platformOf: (manifest: Descriptor) => Promise<Platform>,
  ) {
    this.#files = files;
    this.#wanted = wanted;
    this.#platformOf = platformOf;
  }

  /**
   * The manifests that `entries` of a layout's index lead to and that suit the platform best: the exact platform, or
   * else the best that runs on it. The only image there is, is taken whatever its platform, unless one was asked for.
   * @throws {NotFoundError} `ERR_PLATFORM_NOT_FOUND`, listing what there is
   * @throws {IntegrityError} `ERR_IMAGE_NOT_FOUND` for an empty index, `ERR_INDEX_CIRCULAR`, `ERR_INDEX_DEPTH`, or what reading a blob throws
   */
  async choose(entries: readonly Descriptor[]): Promise<readonly Candidate[]> {
    const walk: Walk = { candidates: [], seen: new Set(), missing: null, otherType: null };
    for (const entry of entries) await this.#collect(walk, entry, entry, []);
    const { candidates } = walk;
    if (candidates.length === 0) throw nothingFound(walk);
    if (this.#wanted === undefined && new Set(candidates.map((one) => one.descriptor.digest)).size === 1) {
      return candidates.slice(0, 1);
    }
    const target = this.#wanted ?? hostPlatform();
    const ranks = candidates.map((candidate) => platformRank(target, candidate.platform) ?? Number.POSITIVE_INFINITY);
    const best = Math.min(...ranks);
    if (best === Number.POSITIVE_INFINITY) throw noImageFor(target, candidates);
    // Within one entry the first of the best counts, as for docker.
    const chosen = new Map<Descriptor, Candidate>();
    for (const [i, candidate] of candidates.entries()) {
      if (ranks[i] === best && !chosen.has(candidate.entry)) chosen.set(candidate.entry, candidate);
    }
    return [...new Map([...chosen.values()].map((one) => [one.descriptor.digest, one])).values()];
  }

  async #collect(walk: Walk, entry: Descriptor, descriptor: Descriptor, path: readonly Digest[]): Promise<void> {
    const { digest, mediaType } = descriptor;
    if (isAttestation(descriptor)) return;
    if (path.includes(digest)) throw circular(digest);
    if (path.length > DEPTH_LIMIT) throw tooDeep(digest);
    const kind = indexEntryKind(mediaType);
    const otherType = await artifactType(this.#files, descriptor);
    if (otherType !== null) {
      walk.otherType ??= otherType;
    } else if ((await this.#files.locate(blobName(descriptor))) === null) {
      walk.missing ??= digest;
    } else if (kind === "manifest") {
      const platform = descriptor.platform ?? (await this.#platformOf(descriptor));
      walk.candidates.push({ descriptor, platform, entry });
    } else if (!walk.seen.has(digest)) {
      const bytes = await readBlob(this.#files, descriptor, "index", MANIFEST_LIMIT_BYTES);
      for (const child of parseIndex(bytes, mediaType).manifests) {
        await this.#collect(walk, entry, child, [...path, digest]);
      }
      walk.seen.add(digest); // an index reached twice adds nothing, and could add it very often
    }
  }
}

/**
 * What an entry of an index is if it is no image and no index: the type of an artifact. Only images have a platform, so
 * that the manifests of those need not be read.
 */
export async function artifactType(files: SourceFiles, descriptor: Descriptor): Promise<string | null> {
  const kind = indexEntryKind(descriptor.mediaType);
  if (kind === null) return descriptor.mediaType;
  if (kind === "index" || descriptor.platform !== undefined) return null;
  if ((await files.locate(blobName(descriptor))) === null) return null;
  return artifactTypeOf(await readBlob(files, descriptor, "manifest", MANIFEST_LIMIT_BYTES));
}

function nothingFound({ missing, otherType }: Walk): Error {
  if (missing !== null) {
    return new IntegrityError("ERR_BLOB_MISSING", `Cannot read manifest "${missing}": the source does not have it`, {
      data: { digest: missing },
    });
  }
  if (otherType === null) return new IntegrityError("ERR_IMAGE_NOT_FOUND", "Cannot import: the index has no images");
  const type = JSON.stringify(otherType.slice(0, 200));
  return new UnsupportedError("ERR_MEDIA_TYPE", `Cannot import: the index has only entries of type ${type}`, {
    data: { mediaType: otherType },
  });
}

function circular(digest: Digest): IntegrityError {
  return new IntegrityError("ERR_INDEX_CIRCULAR", `Cannot read index "${digest}": it contains itself`, {
    data: { digest },
  });
}

function tooDeep(digest: Digest): IntegrityError {
  const why = `indexes are nested more than ${DEPTH_LIMIT} deep`;
  return new IntegrityError("ERR_INDEX_DEPTH", `Cannot read index "${digest}": ${why}`, { data: { digest } });
}
