/** What the fidelity tests share: layers in, the merged tree out, and system tools to read it with. */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type LayerSpec, ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";

/** The image that `storeWith` imports. */
export const IMAGE = "localhost/test:latest";

/** What every test that mounts needs. */
export const NEEDS_MOUNT = { skip: requires("root", "overlay") };

/** A store with one image of these layers, base first. */
export function storeWith(...layers: readonly (LayerSpec | Buffer)[]): TestStore {
  const store = temporaryStore();
  try {
    store.ok("import", writeFiles(join(store.path, "image"), ociFiles([{ layers }])));
  } catch (error) {
    store.remove();
    throw error;
  }
  return store;
}

/** Imports layers and hands the merged tree to `inspect`. */
export async function withMerged(
  layers: readonly (LayerSpec | Buffer)[],
  inspect: (merged: string, store: TestStore) => void,
): Promise<void> {
  await using store = storeWith(...layers);
  inspect(store.mount(IMAGE), store);
}

/** What a program prints, which must succeed. `directory` is where it runs. */
export function tool(directory: string, program: string, ...args: readonly string[]): string {
  return toolBytes(directory, program, ...args)
    .toString("latin1")
    .trimEnd();
}

/** As `tool`, but the bytes as they are. */
export function toolBytes(directory: string, program: string, ...args: readonly string[]): Buffer {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: directory,
    maxBuffer: 1024 ** 3,
    env: { ...process.env, LC_ALL: "C", PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: exit ${status}: ${stderr}`);
  return stdout;
}

/** stat(1) of one path in a format of its own. */
export function stat(directory: string, format: string, path: string): string {
  return tool(directory, "stat", `--format=${format}`, "--", path);
}

/** The value of an extended attribute in hex, as getfattr(1) reads it without following symlinks. */
export function xattr(directory: string, name: string, path: string): string {
  return tool(directory, "getfattr", "-h", "-e", "hex", "-n", name, "--", path).split("=").at(-1) ?? "";
}
