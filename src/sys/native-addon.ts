/**
 * Loads the binary of a native package without its JavaScript and without node's search for packages, which together
 * take longer than the binary: 3 ms each for koffi and for better-sqlite3, at every start.
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * What the addon `file` ("package/path") of an installed package exports; null if there is no such file, or it cannot be
 * loaded here (it is for another libc). It is looked for where node looks: in each `node_modules` from here upwards.
 */
export function nativeAddon(file: string): unknown {
  const path = findFile(dirname(fileURLToPath(import.meta.url)), join("node_modules", file));
  if (path === null) return null;
  const module: { exports: unknown } = { exports: {} };
  try {
    process.dlopen(module, path);
    return module.exports;
  } catch {
    return null;
  }
}

function findFile(start: string, file: string): string | null {
  for (let directory = start; ; directory = dirname(directory)) {
    const path = join(directory, file);
    if (existsSync(path)) return path;
    if (directory === dirname(directory)) return null;
  }
}
