/**
 * Where a subject is known to behave otherwise than ext4, and why. A difference that is not here fails the test, and so
 * does one that is here and no longer found: the list is the whole truth.
 */

import { canRestoreOwners } from "../../src/privilege.ts";
import { NATIVE } from "./native-differences.ts";
import type { Outcome } from "./suite.ts";

/** Checks that fail for one reason, as "GROUP: CHECK". */
export interface Difference {
  readonly reason: string;
  readonly checks: readonly string[];
}

const NO_REDIRECTS: Difference = {
  reason: "without redirect_dir a directory that has a lower layer is not renamed: EXDEV",
  checks: [
    "rename: directory with a file to nothing: renamed (lower)",
    "rename: directory with a file to empty directory: renamed (lower)",
    "rename: empty directory to nothing: renamed (lower)",
    "rename: empty directory to empty directory: renamed (lower)",
    "rename: EXCHANGE swaps a file and a directory (lower)",
    "rename: EXCHANGE swaps two directories (lower)",
    "rename: a directory takes everything in it along (lower)",
    "rename: a merged directory takes the names of all its layers along",
    "rename: a changed directory of a lower layer is renamed with its changes",
  ],
};

const NO_WHITEOUTS: Difference = {
  reason: "whiteouts are overlayfs' own: none is made by rename, nor by mknod",
  checks: [
    "rename: WHITEOUT leaves a device 0:0 under the old name (lower)",
    "rename: WHITEOUT leaves a device 0:0 under the old name (new)",
    "special: a device 0:0 is a device as any other (lower)",
    "special: a device 0:0 is a device as any other (new)",
  ],
};

const ONE_LINK: Difference = {
  reason: "a merged directory has one link, whatever is in it",
  checks: ["inodes: a directory has a link for each directory in it, and two"],
};

const COPY_UP_CTIME: Difference = {
  reason: "a copied-up file is moved into its directory, whose mtime is put back and whose ctime is not",
  checks: [
    "times: a write to a file sets nothing of its directory (lower)",
    "times: a mode set in a directory sets nothing of the directory (lower)",
  ],
};

const KERNEL: readonly Difference[] = [
  NO_REDIRECTS,
  {
    reason: "EXDEV comes before any look at the target",
    checks: [
      "rename: directory with a file to directory with a file: ENOTEMPTY (lower)",
      "rename: empty directory to directory with a file: ENOTEMPTY (lower)",
    ],
  },
  {
    reason: "without index the names of a lower file part when one of them is copied up",
    checks: [
      "links: a file of several names is written by one and read by all (lower)",
      "links: a file of several names stays one file when it is written (lower)",
      "links: a mode set by one name shows by all (lower)",
      "links: an owner set by one name shows by all (lower)",
      "links: a time set by one name shows by all (lower)",
      "links: an attribute set by one name shows by all (lower)",
      "links: removing one name leaves the others, one link fewer (lower)",
      "links: renaming one name leaves one file (lower)",
      "links: a further name is one more link (lower)",
      "links: what is written through a descriptor of one name shows by another (lower)",
      "links: names of one file in two directories of different layers stay one file",
      "rename: one name of a file renamed to another name of it changes nothing (lower)",
      "unlink: one of two names is removed, the other stays (lower)",
    ],
  },
  NO_WHITEOUTS,
  {
    reason: "a lower file or directory that is open and has lost its name shows the links of the layer",
    checks: [
      "unlink: a file opened for reading is read after its name is gone (lower)",
      "unlink: a removed directory has no links (lower)",
      "rename: a replaced file that is open is still read (lower)",
    ],
  },
  {
    reason: "a file without a name is copied up under its old one, which the whiteout has",
    checks: ["unlink: the mode of a file opened for reading is changed after its name is gone (lower)"],
  },
  ONE_LINK,
  COPY_UP_CTIME,
  {
    reason: "copy-up looks for holes a megabyte at a time",
    checks: ["copy-up: the holes of a sparse file stay holes (lower)"],
  },
  {
    reason: "a mapping made before the copy-up stays one of the lower file (overlayfs.rst, non-standard behavior)",
    checks: ["copy-up: a mapping made before a write by another shows it (lower)"],
  },
];

const KERNEL_UNPRIVILEGED: readonly Difference[] = [
  ...KERNEL,
  {
    reason:
      "in a user namespace no file handle of a lower file is kept, so that names linked after copy-up have numbers of their own",
    checks: [
      "links: a new name is the same file (lower)",
      "links: a file made and linked is written by one name and read by the other (lower)",
      "links: a name that a whiteout hides is linked to",
      "links: a symbolic link is linked itself (lower)",
      "links: mounted in the kernel, the upperdir shows the same tree",
      "times: mounted in the kernel, the upperdir shows the same tree",
      "xattrs: mounted in the kernel, the upperdir shows the same tree",
      "locks: a lock is for the file, by whatever name it is opened (lower)",
      "locks: mounted in the kernel, the upperdir shows the same tree",
    ],
  },
];

/** Ours, with redirects. */
const FUSE: readonly Difference[] = [
  NO_WHITEOUTS,
  ONE_LINK,
  {
    reason: "listings are kept by the kernel, and the mount says noatime",
    checks: ["times: listing a directory sets its atime (lower)", "times: listing a directory sets its atime (new)"],
  },
];

/** Where the page cache of the mount writes when it likes, as it does without passthrough. */
const FUSE_WRITEBACK: readonly Difference[] = [
  ...FUSE,
  {
    reason: "what the page cache has not written yet may look like a hole, so an open file tells of none",
    checks: [
      "data: holes are found where nothing was written (lower)",
      "data: holes are found where nothing was written (new)",
      "data: fallocate punches a hole, and clears a range (lower)",
      "data: fallocate punches a hole, and clears a range (new)",
      "copy-up: the holes of a sparse file stay holes (lower)",
      "copy-up: the holes of a sparse file stay holes (new)",
    ],
  },
  {
    reason: "the page cache takes what the file system below will refuse",
    checks: [
      "data: a write beyond the greatest size is refused (lower)",
      "data: a write beyond the greatest size is refused (new)",
    ],
  },
  {
    reason: "what was just written is read from the page cache, and the server, whose file has the atime, is not asked",
    checks: ["times: a read sets atime (new)"],
  },
];

/** Kernel overlayfs follows no redirect that is a user attribute, and takes no index with them: ours makes none there. */
const USER_ATTRIBUTES: readonly Difference[] = [
  NO_REDIRECTS,
  {
    reason: "the kernel takes no index with user attributes: its mount shows names of lower files parted",
    checks: ["links: mounted in the kernel, the upperdir shows the same tree"],
  },
];

const FUSE_UNPRIVILEGED: readonly Difference[] = [...USER_ATTRIBUTES, ...FUSE_WRITEBACK];

const FUSE_NATIVE: readonly Difference[] = [...FUSE, ...NATIVE];

const FUSE_NATIVE_UNPRIVILEGED: readonly Difference[] = [
  ...USER_ATTRIBUTES,
  ...without(
    FUSE_NATIVE,
    "rename: EXCHANGE swaps a file and a directory (lower)", // both for want of redirects too
    "rename: EXCHANGE swaps two directories (lower)",
    "acls: mounted in the kernel, the upperdir shows the same tree", // the checks with ACLs are not made
  ),
];

/** As root, and as the root of a user namespace. */
const LISTS: Readonly<
  Record<string, { readonly root: readonly Difference[]; readonly unprivileged: readonly Difference[] }>
> = {
  kernel: { root: KERNEL, unprivileged: KERNEL_UNPRIVILEGED },
  fuse: { root: FUSE, unprivileged: FUSE_UNPRIVILEGED },
  "fuse-native": { root: FUSE_NATIVE, unprivileged: FUSE_NATIVE_UNPRIVILEGED },
  "fuse-writeback": { root: FUSE_WRITEBACK, unprivileged: [] },
};

/** What is known of a subject, for the user that this process is; nothing of one without a list. */
export function knownDifferences(subject: string): readonly Difference[] {
  return LISTS[subject]?.[canRestoreOwners() ? "root" : "unprivileged"] ?? [];
}

/** Of a list, what is of the groups that are run. */
export function amongGroups(known: readonly Difference[], groups: readonly string[]): readonly Difference[] {
  return filtered(known, (check) => groups.includes(check.slice(0, check.indexOf(":"))));
}

function without(known: readonly Difference[], ...left: readonly string[]): readonly Difference[] {
  return filtered(known, (check) => !left.includes(check));
}

function filtered(known: readonly Difference[], isKept: (check: string) => boolean): readonly Difference[] {
  return known.map(({ reason, checks }) => ({ reason, checks: checks.filter(isKept) }));
}

/** Every list that there is, for a test that its checks exist. */
export const ALL_LISTS: readonly (readonly Difference[])[] = Object.values(LISTS).flatMap(({ root, unprivileged }) => [
  root,
  unprivileged,
]);

/** One line for each outcome that the list does not say, and for each entry of the list that did not come true. */
export function surprises(outcomes: readonly Outcome[], known: readonly Difference[]): readonly string[] {
  const listed = new Set(known.flatMap((difference) => difference.checks));
  const lines: string[] = [];
  for (const { group, check, state, reason } of outcomes) {
    const name = `${group}: ${check}`;
    if (state === "failed" && !listed.has(name)) lines.push(`${name}\n    ${reason}`);
    if (state === "passed" && listed.has(name)) lines.push(`${name}\n    listed as a difference, and is none any more`);
  }
  return lines;
}
