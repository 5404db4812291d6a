/** All groups of checks. */

import type { Group } from "../check.ts";
import { acls } from "./acls.ts";
import { copyUp } from "./copy-up.ts";
import { data } from "./data.ts";
import { inodes } from "./inodes.ts";
import { links } from "./links.ts";
import { locks } from "./locks.ts";
import { lookup } from "./lookup.ts";
import { modes } from "./modes.ts";
import { names } from "./names.ts";
import { notify } from "./notify.ts";
import { open } from "./open.ts";
import { permissions } from "./permissions.ts";
import { random } from "./random.ts";
import { readdir } from "./readdir.ts";
import { rename } from "./rename.ts";
import { special } from "./special.ts";
import { statfs } from "./statfs.ts";
import { times } from "./times.ts";
import { unlink } from "./unlink.ts";
import { xattrs } from "./xattrs.ts";

export const GROUPS: readonly Group[] = [
  lookup,
  readdir,
  open,
  data,
  unlink,
  rename,
  links,
  special,
  modes,
  permissions,
  times,
  xattrs,
  acls,
  locks,
  names,
  statfs,
  inodes,
  copyUp,
  notify,
  random,
];

/** @throws if there is none */
export function groupNamed(name: string): Group {
  const found = GROUPS.find((group) => group.name === name);
  if (found === undefined)
    throw new Error(`no group "${name}": there are ${GROUPS.map((each) => each.name).join(", ")}`);
  return found;
}
