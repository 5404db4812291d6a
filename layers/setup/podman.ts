/**
 * podman's and buildah's configuration (containers-storage.conf(5)): our store as an additional image store, and our FUSE
 * as the program that mounts.
 */

import { fileURLToPath } from "node:url";
import { bytesOf, type HostPath } from "../../src/paths.ts";
import { DEFAULT_GRAPHROOT } from "../podman/dependents.ts";
import { type ConfigChange, checkChange, type Expected, readConfig } from "./config-change.ts";
import { parseToml, valueAt, withKey, withLines, withoutMarks } from "./toml-edit.ts";

const STORES = ["storage", "options", "additionalimagestores"];
const PROGRAM = ["storage", "options", "overlay", "mount_program"];
const GRAPHROOT = ["storage", "graphroot"];
/** A file of ours has to say where podman's own storage is, since podman reads no other beside it. */
const NEW_FILE = [
  "[storage]",
  'driver = "overlay"',
  `graphroot = "${DEFAULT_GRAPHROOT}"`,
  'runroot = "/run/containers/storage"',
];

/** What podman is to use of ours. */
export interface PodmanWishes {
  /** The additional image store; null for none. */
  readonly imageStore: HostPath | null;
  /** Mount with our FUSE. */
  readonly mountProgram: boolean;
}

/** The program as it is installed beside us. */
function mountProgramPath(): string {
  return fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "../../bin/layerctl-fuse" : "../bin/layerctl-fuse", import.meta.url),
  );
}

/** A change of `path`, and where podman's own storage is. @throws as `checkChange` and `parseToml` */
export function podmanChange(path: HostPath, wishes: PodmanWishes): ConfigChange & { readonly graphroot: string } {
  const before = withoutMarks(readConfig(path) ?? "");
  const table = parseToml(before, path);
  let content = before.trim() === "" ? withLines("", NEW_FILE) : before;
  const wanted: string[] = [];
  const expected: Expected[] = [];
  if (wishes.imageStore !== null) {
    const known = valueAt(table, STORES);
    const ours = bytesOf(wishes.imageStore).toString();
    const stores = [...(Array.isArray(known) ? known.filter((each) => each !== ours) : []), ours];
    const line = `additionalimagestores = ${JSON.stringify(stores)}`;
    wanted.push("[storage.options]", line);
    content = withKey(content, "storage.options", "additionalimagestores", line);
    expected.push({ keys: STORES, value: stores });
  }
  if (wishes.mountProgram) {
    const program = mountProgramPath();
    const line = `mount_program = ${JSON.stringify(program)}`;
    wanted.push("[storage.options.overlay]", line);
    content = withKey(content, "storage.options.overlay", "mount_program", line);
    expected.push({ keys: PROGRAM, value: program });
  }
  const change = { path, wanted: `${wanted.join("\n")}\n`, content };
  checkChange(change, expected);
  const graphroot = valueAt(table, GRAPHROOT);
  return { ...change, graphroot: typeof graphroot === "string" ? graphroot : DEFAULT_GRAPHROOT };
}
