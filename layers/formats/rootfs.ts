/** A root file system in one tar, compressed or not: an image of one layer, with a config that the import makes. */

import { IntegrityError } from "../../src/errors.ts";
import { display, type HostPath } from "../../src/paths.ts";
import { sniffCompression } from "../apply/decompress.ts";
import type { Platform } from "../oci/descriptor.ts";
import { hostPlatform } from "../oci/platform.ts";
import type { BlobLocation, SourceImage } from "./source.ts";
import { readStart } from "./source-files.ts";
import { looksLikeTar } from "./tar-magic.ts";

/**
 * The image of a root file system. Its diffID, and so its config, is not known before the tar has been read.
 * @throws {IntegrityError} `ERR_SOURCE_FORMAT` if the file is no tar
 * @throws {UnsupportedError} `ERR_COMPRESSION_UNSUPPORTED`
 */
export async function rootfsImage(
  name: HostPath,
  location: BlobLocation,
  platform: Platform | undefined,
): Promise<SourceImage> {
  const start = await readStart(location);
  if (sniffCompression(start) === "none" && !looksLikeTar(start)) {
    throw new IntegrityError("ERR_SOURCE_FORMAT", `Cannot import "${display(name)}": it is not a tar archive`);
  }
  return {
    references: [],
    manifest: null,
    config: null,
    platform: platform ?? hostPlatform(),
    layers: [{ descriptor: null, diffId: null, location }],
  };
}
