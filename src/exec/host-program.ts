/** Programs of this host, by absolute path: the PATH that counts is not the user's, nor the container's. */

import { existsSync } from "node:fs";
import { UnsupportedError } from "../errors.ts";

export const SHELL = "/bin/sh";
export const BASH = "/bin/bash";

const DIRECTORIES = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/** The path of a program of util-linux. @throws {UnsupportedError} `ERR_NO_LAUNCHER` */
export function program(name: string): string {
  const path = DIRECTORIES.map((directory) => `${directory}/${name}`).find((each) => existsSync(each));
  if (path !== undefined) return path;
  const message = `Cannot start a container: ${name} is not installed; install util-linux, or use --runtime crun or runc`;
  throw new UnsupportedError("ERR_NO_LAUNCHER", message);
}
