/** The names of snapshots: docker's rule for containers. */

import { shortDigest } from "../../src/digest.ts";
import { UsageError } from "../../src/errors.ts";
import type { Image } from "../image.ts";
import { parseReference } from "../oci/reference.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

/** @throws {UsageError} `ERR_SNAPSHOT_NAME` */
export function checkSnapshotName(name: string): void {
  if (NAME.test(name)) return;
  const shown = JSON.stringify(name.slice(0, 200));
  const state = 'it must be 1 to 128 letters, digits, "_", "." and "-", beginning with a letter or digit';
  throw new UsageError("ERR_SNAPSHOT_NAME", `Cannot use name ${shown}: ${state}`);
}

/** A name after the image's, with four random digits: "debian-3f2a". */
export function generateSnapshotName(image: Image, reference: string | null): string {
  const name = reference ?? image.references[0];
  const base = name === undefined ? shortDigest(image.digest) : parseReference(name).path.split("/").at(-1);
  const digits = Math.floor(Math.random() * 0x10000)
    .toString(16)
    .padStart(4, "0");
  return `${(base ?? "snapshot").slice(0, 100)}-${digits}`;
}
