/** Making the mount live: by mount(2) where that is allowed, else through fusermount3(1). */

import { UnsupportedError } from "../../src/errors.ts";
import type { HostPath } from "../../src/paths.ts";
import type { FuseOptions } from "../options.ts";
import { mountDevice } from "./device.ts";
import { mountByFusermount } from "./fusermount.ts";

/** Mounts at `target`: the descriptor that requests come from. Nothing answers yet. @throws as `mountDevice` and `mountByFusermount` */
export function mountAt(target: HostPath, options: FuseOptions): number {
  try {
    return mountDevice(target, options);
  } catch (error) {
    if (process.geteuid?.() === 0 || !(error instanceof UnsupportedError)) throw error;
    return mountByFusermount(target, options);
  }
}
