/** Content descriptors (OCI image-spec, descriptor.md). */

import type { Digest } from "../../src/digest.ts";

/** What names a blob: its type, digest and size, and what else its referrer says of it. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
}

/** The machine an image runs on (image-index.md). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}
