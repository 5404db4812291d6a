/**
 * Where a path of a user leads in a tree that may be hostile: everything is looked up inside its root (openat2,
 * RESOLVE_IN_ROOT), so that neither ".." nor a symbolic link leads out, and what was looked up is what is worked on.
 */

import { constants } from "node:os";
import { PosixError } from "../../src/errors.ts";
import { close, O_DIRECTORY, O_PATH, openInRoot, readlinkAt, S_IFLNK, S_IFMT } from "../../src/sys/file.ts";
import { type Stat, statAt, statAtOrNull } from "../../src/sys/stat.ts";

/** A name in an open directory, which is there or could be. */
export interface Place extends Disposable {
  readonly parent: number;
  /** "." for the root of the tree. */
  readonly name: string;
  /** Of what has this name; null if nothing has. */
  readonly stat: Stat | null;
}

/** As many as the kernel follows in one path. */
const MOST_LINKS = 40;

/**
 * The place that `path` means in the tree whose root is open. A symbolic link that is last is followed if `follows`, and
 * then the place may be one where nothing is yet.
 * @throws PosixError `ENOENT`, `ENOTDIR` if there is no directory for it; `ELOOP`
 */
export function findPlace(root: number, path: string, follows: boolean): Place {
  let wanted = path;
  for (let links = 0; links < MOST_LINKS; links++) {
    const [directory, name] = splitLast(wanted);
    if (name === "." || name === "..") {
      const parent = openInRoot(root, wanted, O_PATH | O_DIRECTORY);
      return { parent, name: ".", stat: statAt(parent, null), [Symbol.dispose]: () => close(parent) };
    }
    const parent = openInRoot(root, directory, O_PATH | O_DIRECTORY);
    const stat = statAtOrNull(parent, name);
    if (!follows || stat === null || (stat.mode & S_IFMT) !== S_IFLNK) {
      return { parent, name, stat, [Symbol.dispose]: () => close(parent) };
    }
    const target = readlinkAt(parent, name);
    close(parent);
    wanted = target.startsWith("/") ? target : `${directory}/${target}`;
  }
  throw new PosixError(constants.errno.ELOOP, "open", path);
}

/** The directory and the name in it: "/a/b/" is "/a" and "b"; "/" is "." alone. */
function splitLast(path: string): readonly [directory: string, name: string] {
  const plain = path.replace(/\/+$/, "");
  const slash = plain.lastIndexOf("/");
  return [slash < 0 ? "." : plain.slice(0, slash) || "/", plain.slice(slash + 1) || "."];
}
