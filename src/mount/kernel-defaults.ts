/** What overlayfs does where no option says so: the parameters of the module, which an administrator may change. */

import { readFileSync } from "node:fs";
import { isErrno } from "../errors.ts";
import type { OverlayOptions } from "./overlay-options.ts";

/** True if a mount with these options has an index of its upperdir (fs/overlayfs/params.c: `nfs_export` turns it on). */
export function usesIndex({ index, nfsExport }: OverlayOptions): boolean {
  return index ?? ((nfsExport ?? isOnByDefault("nfs_export")) || isOnByDefault("index"));
}

function isOnByDefault(parameter: "index" | "nfs_export"): boolean {
  try {
    return readFileSync(`/sys/module/overlay/parameters/${parameter}`, "latin1").startsWith("Y");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false; // the module is not loaded
    throw error;
  }
}
