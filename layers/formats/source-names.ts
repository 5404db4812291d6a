/**
 * The references of the images in a source.
 *
 * - `io.containerd.image.name` (docker, containerd, buildkit) is a full name.
 * - `org.opencontainers.image.ref.name` is a name if it has a "/" or ":" (podman writes those); else it is only a tag
 *   (skopeo, umoci, docker), and the image is called after its file or directory, as podman does:
 *   `debian.tar` with "12" is `localhost/debian:12`.
 * - An image without either, if it is the only one, is called after the file or directory with the tag "latest".
 */

import { display, type HostPath } from "../../src/paths.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { formatReference, isTag, parseSourceReference, type Reference } from "../oci/reference.ts";

export const CONTAINERD_NAME = "io.containerd.image.name";
export const REF_NAME = "org.opencontainers.image.ref.name";

/** What an index entry says of its image's name. */
export type EntryName =
  | { readonly kind: "none" }
  | { readonly kind: "tag"; readonly tag: string }
  | { readonly kind: "reference"; readonly reference: Reference };

/** @throws {IntegrityError} `ERR_REFERENCE_FORMAT` */
export function entryName(descriptor: Descriptor): EntryName {
  const full = descriptor.annotations?.[CONTAINERD_NAME] ?? "";
  const refName = descriptor.annotations?.[REF_NAME] ?? "";
  if (full !== "") return { kind: "reference", reference: parseSourceReference(full) };
  if (refName === "") return { kind: "none" };
  if (isTag(refName)) return { kind: "tag", tag: refName };
  return { kind: "reference", reference: parseSourceReference(refName) };
}

/**
 * `localhost/NAME`, where NAME is made from the last component of the source's path; null if nothing is left of it.
 * Directories keep their extension.
 */
export function sourceRepository(source: HostPath, kind: "file" | "directory"): string | null {
  const last = display(source.replace(/\/+$/, "").replace(/^.*\//, "")).toLowerCase();
  const base = kind === "file" ? last.replace(/(\.(tar|oci|tgz|tzst|gz|zst|zstd))+$/, "") : last;
  const name = base
    .replace(/[^a-z0-9]+/g, (run) => (/^([._]|__|-+)$/.test(run) ? run : "-"))
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
  return name === "" ? null : `localhost/${name}`;
}

/** The reference in its full form; null for one that only names a digest, which is no name for an image. */
export function tagged(reference: Reference): string | null {
  return reference.tag === null ? null : formatReference({ ...reference, digest: null });
}
