/** The real images of fixtures/make-images.sh, made on first use and kept. */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("../../fixtures/make-images.sh", import.meta.url));

/** What the script makes; fixtures/README.md says what is in each. */
export type FixtureName = "rootfs" | "small-files" | "changes" | "many-layers";

let made: string | undefined;

/** The directory of the images. The first caller on a machine waits for about a minute. */
export function fixtureDirectory(): string {
  if (made !== undefined) return made;
  const { status, stdout, stderr } = spawnSync(SCRIPT, { encoding: "utf8" });
  if (status !== 0) throw new Error(`fixtures/make-images.sh: exit ${status}: ${stderr}`);
  made = stdout.trimEnd();
  return made;
}

/** An OCI layout, its image tagged "latest", its layers compressed with gzip or zstd ("changes" has plain ones instead of gzip). */
export function ociFixture(name: FixtureName, compression: "gzip" | "zstd" = "gzip"): string {
  return join(fixtureDirectory(), "oci", compression === "zstd" ? `${name}-zstd` : name);
}

/** A docker-archive, its image named "localhost/fixture/NAME:latest". */
export function dockerFixture(name: FixtureName): string {
  return join(fixtureDirectory(), "docker", `${name}.tar`);
}
