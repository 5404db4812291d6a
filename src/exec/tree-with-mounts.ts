/** A mounted tree with more mounts in it, which only who has it open sees. */

import { closeSync } from "node:fs";
import { type HostPath, hostPath } from "../paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt, S_IFDIR, S_IFMT } from "../sys/file.ts";
import { addMountAttributes, MS_BIND, MS_RDONLY, MS_REC, mount } from "../sys/mount.ts";
import { inMountCopy, openOwnMountNamespace } from "../sys/namespaces.ts";
import { statAt } from "../sys/stat.ts";
import { descriptorPath, withPath } from "./in-root.ts";
import type { Mount } from "./runtime-spec.ts";

export interface OpenTree extends Disposable {
  /** Of the tree's root (`O_PATH`). */
  readonly root: number;
}

/**
 * The tree at `path` with those of `mounts` that are bind mounts, each where there is a place for it already. Nothing but them
 * can be written to if `isReadOnly`.
 * @throws PosixError
 */
export function openTreeWith(path: HostPath, mounts: readonly Mount[], isReadOnly: boolean): OpenTree {
  return inMountCopy(() => {
    const root = openAt(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    try {
      if (isReadOnly) addMountAttributes(root, MS_RDONLY, false);
      for (const each of mounts) if (each.type === "bind") bind(root, each);
      const namespace = openOwnMountNamespace(); // as long as it is open, the mounts are there
      const dispose = (): void => {
        close(root);
        closeSync(namespace);
      };
      return { root, [Symbol.dispose]: dispose };
    } catch (error) {
      close(root);
      throw error;
    }
  });
}

function bind(root: number, { source, destination, options }: Mount): void {
  const from = openAt(AT_FDCWD, hostPath(source), O_PATH);
  try {
    const isDirectory = (fd: number): boolean => (statAt(fd, null).mode & S_IFMT) === S_IFDIR;
    const isMade = withPath(root, hostPath(destination), (target) => {
      if (isDirectory(from) !== isDirectory(target)) return false;
      mount(descriptorPath(from), descriptorPath(target), "", MS_BIND | MS_REC, "");
      return true;
    });
    if (isMade !== true || !options.includes("ro")) return;
    withPath(root, hostPath(destination), (mounted) => addMountAttributes(mounted, MS_RDONLY, true));
  } finally {
    close(from);
  }
}
