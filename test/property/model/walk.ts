/** From a path to a place in a tree, as path_resolution(7) says: symbolic links on the way are followed. */

import { join, type Path } from "./tree.ts";

const NAME_MAX = 255;
const MAXSYMLINKS = 40;

/** Where a path leads: the directory, and the path of what is there or could be made. */
export interface Spot {
  readonly parent: Path;
  readonly path: Path;
}

/** What is at a path, as far as that matters on the way; null if nothing is. */
export type Look = (path: Path) => { readonly kind: string; readonly content: string } | null;

/** `follow`: a symbolic link at the end too. A string is an errno. */
export function walk(look: Look, path: Path, follow: boolean): Spot | string {
  const rest = path.split("/");
  let parent = "";
  for (let links = 0; ; ) {
    const name = rest.shift() ?? "";
    if (name.length > NAME_MAX) return "ENAMETOOLONG";
    const here = join(parent, name);
    const found = look(here);
    if (found?.kind === "symlink" && (rest.length > 0 || follow)) {
      links += 1;
      if (links > MAXSYMLINKS) return "ELOOP";
      rest.unshift(...found.content.split("/"));
      continue;
    }
    if (rest.length === 0) return { parent, path: here };
    if (found === null) return "ENOENT";
    if (found.kind !== "directory") return "ENOTDIR";
    parent = here;
  }
}
