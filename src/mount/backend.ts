/** Which way a mount is made. */

import { UnsupportedError } from "../errors.ts";

/** What a user may ask for. */
export type RequestedBackend = "auto" | Backend;
export type Backend = "kernel" | "fuse";

/** @throws {UnsupportedError} `ERR_FUSE_UNAVAILABLE` for "fuse" */
export function chooseBackend(requested: RequestedBackend): Backend {
  if (requested !== "fuse") return "kernel";
  throw new UnsupportedError(
    "ERR_FUSE_UNAVAILABLE",
    'Cannot mount with backend "fuse": this build has none; use "kernel", which needs root',
  );
}
