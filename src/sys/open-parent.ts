/**
 * Does things with files by their paths, in the order of their directories: relative to one that stays open, a system
 * call costs two thirds of what it costs by the whole path. No symbolic link is followed on the way (openat2(2)).
 */

import type { HostPath } from "../paths.ts";
import { close, openDirectoryWithoutLinks, openWithoutLinks } from "./file.ts";
import { isUnchangedAt, type Stat } from "./stat.ts";

/** The directory of the last path, open. Disposing it closes that. */
export class OpenParent implements Disposable {
  #path = "";
  #fd: number | null = null;

  /** As `openWithoutLinks`. @throws PosixError */
  openFile(path: HostPath): number {
    const slash = path.lastIndexOf("/");
    return openWithoutLinks(this.#parent(path, slash), path.slice(slash + 1), path);
  }

  /** As `isUnchangedAt`. @throws PosixError also if the directory cannot be opened */
  isUnchanged(path: HostPath, before: Stat): boolean {
    const slash = path.lastIndexOf("/");
    return isUnchangedAt(this.#parent(path, slash), path.slice(slash + 1), before);
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) close(this.#fd);
    this.#fd = null;
  }

  #parent(path: HostPath, slash: number): number {
    if (this.#fd !== null && slash === this.#path.length && path.startsWith(this.#path)) return this.#fd;
    this[Symbol.dispose]();
    this.#path = path.slice(0, slash);
    this.#fd = openDirectoryWithoutLinks(this.#path || "/");
    return this.#fd;
  }
}
