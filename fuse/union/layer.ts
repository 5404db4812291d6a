/** A layer while it is mounted: a directory that is held open, so that what is later mounted over its path does not matter. */

import type { OverrideAttribute } from "../../src/overlay/override-stat.ts";
import type { HostPath } from "../../src/paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";

/** A directory of the stack, open. */
export interface Layer {
  /** 0 is the top lowerdir, -1 the upperdir. */
  readonly index: number;
  /** A way to it through its descriptor, which stays when the layer is unmounted or something is mounted over it. */
  readonly path: HostPath;
  readonly fd: number;
  /** Which of the file systems of this mount it lies on, counted from 0. */
  readonly fileSystem: number;
  /** The attribute in which it keeps owner, mode and type of its files; null: they have them themselves. */
  readonly override: OverrideAttribute | null;
}

/** Inode numbers of the second and further file systems are lifted by so much, that they do not meet those of the first. */
const FILE_SYSTEM_STEP = 2 ** 47;

/** The number that is shown for an inode of the layer's file system. */
export function shownIno({ fileSystem }: Layer, ino: number): number {
  return fileSystem * FILE_SYSTEM_STEP + ino;
}

/** Where something lies in one layer: a path from the layer's root, "." for the root itself. */
export interface Location {
  readonly layer: Layer;
  readonly path: string;
}

/** Put together when it is asked for: a path of its own for every file that is known would be most of what it costs. */
class ChildLocation implements Location {
  readonly #directory: Location;
  readonly #name: string;

  constructor(directory: Location, name: string) {
    this.#directory = directory;
    this.#name = name;
  }

  get layer(): Layer {
    return this.#directory.layer;
  }

  get path(): string {
    return joinPath(this.#directory.path, this.#name);
  }
}

/** The location of `name` in the directory at `location`. */
export function childLocation(location: Location, name: string): Location {
  return new ChildLocation(location, name);
}

/** `name` below `path`, where "." is the root. */
export function joinPath(path: string, name: string): string {
  return path === "." ? name : `${path}/${name}`;
}

/**
 * For calls that take no descriptor (xattrs): a path that leads there, through the open directory. By its name a layer that
 * the union is mounted on would lead into the mount, where the server would wait for itself.
 */
export function hostPathAt({ fd }: Layer, path: string): HostPath {
  return `/proc/self/fd/${fd}/${path}` as HostPath;
}

/** A path that leads to an open directory, whatever becomes of the names it had. */
export function pathOf(fd: number): HostPath {
  return `/proc/self/fd/${fd}` as HostPath;
}

/** Opens directories as layers and numbers the file systems they lie on. */
export class LayerOpener {
  readonly #fileSystems = new Map<string, number>();

  /** `overrideOf` is asked which attribute the layer with this root uses. @throws PosixError if it is no directory */
  open(path: HostPath, index: number, overrideOf: (root: HostPath) => OverrideAttribute | null = () => null): Layer {
    const fd = openAt(AT_FDCWD, path, O_PATH | O_DIRECTORY);
    try {
      const { devMajor, devMinor } = statAt(fd, null);
      const device = `${devMajor}:${devMinor}`;
      const fileSystem = this.#fileSystems.get(device) ?? this.#fileSystems.size;
      this.#fileSystems.set(device, fileSystem);
      return { index, path: pathOf(fd), fd, fileSystem, override: overrideOf(`${pathOf(fd)}/.` as HostPath) };
    } catch (error) {
      close(fd);
      throw error;
    }
  }
}
