/** What the formats refuse alike. */

import { IntegrityError, NotFoundError } from "../../src/errors.ts";
import type { Platform } from "../oci/descriptor.ts";
import { formatPlatform, normalizePlatform } from "../oci/platform.ts";

/** None of the images runs on the platform. */
export function noImageFor(platform: Platform, images: readonly { readonly platform: Platform }[]): NotFoundError {
  const names = images.map((image) => formatPlatform(normalizePlatform(image.platform)));
  const available = [...new Set(names)].sort();
  return new NotFoundError(
    "ERR_PLATFORM_NOT_FOUND",
    `Cannot find an image for ${formatPlatform(platform)}: there is ${available.slice(0, 20).join(", ")}`,
    { data: { platform: formatPlatform(platform), available } },
  );
}

/** Which of the images the name means is unknown. */
export function ambiguousName(name: string | null): IntegrityError {
  return new IntegrityError(
    "ERR_REFERENCE_AMBIGUOUS",
    `Cannot import "${name}": two images for the same platform have this name`,
    { data: { name } },
  );
}
