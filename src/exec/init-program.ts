/** A program that is made to be process 1. Only static ones: it runs among the libraries of another system. */

import { existsSync } from "node:fs";

const PROGRAMS = [
  "/usr/bin/tini-static",
  "/usr/bin/catatonit",
  "/usr/libexec/catatonit/catatonit",
  "/usr/libexec/podman/catatonit",
  "/usr/bin/docker-init",
  "/usr/libexec/docker/docker-init",
];

/** Its path on this host; null if there is none. */
export function findInitProgram(): string | null {
  return PROGRAMS.find((path) => existsSync(path)) ?? null;
}
