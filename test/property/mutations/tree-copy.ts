/** A copy of this checkout in which deliberate bugs can be made. */

import { execFileSync } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutation } from "./mutations.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const COPIED = ["src", "layers", "fuse", "cli", "test", "package.json", "tsconfig.json"];

/** Fills an empty directory. */
export function copyTree(directory: string): void {
  execFileSync("cp", ["-a", ...COPIED.map((name) => join(ROOT, name)), directory]);
  symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
}

/** Makes the bug, until it is disposed. @throws if its text is not there once */
export function mutate(directory: string, { bug, file, text, replacement }: Mutation): Disposable {
  const path = join(directory, file);
  const original = readFileSync(path, "utf8");
  const count = original.split(text).length - 1;
  if (count !== 1) throw new Error(`the bug "${bug}" has no place: its text is ${count} times in ${file}`);
  writeFileSync(
    path,
    original.replace(text, () => replacement),
  );
  return { [Symbol.dispose]: () => writeFileSync(path, original) };
}
