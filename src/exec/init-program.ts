/**
 * Who is process 1 with --init: a program that is made for it, only static ones, since it runs among the libraries of another
 * system; else the bash(1) of our launcher, which is loaded already.
 */

import { existsSync } from "node:fs";
import { BASH } from "./host-program.ts";

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

/** As `findInitProgram`, for our own launcher: `isShellInit` says what that means for it. */
export function findInit(): string | null {
  return findInitProgram() ?? (existsSync(BASH) ? BASH : null);
}

/** True if it is the launcher's shell that stays. */
export function isShellInit(path: string): boolean {
  return path === BASH;
}
