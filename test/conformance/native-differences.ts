/** Where our union differs from ext4 when it is served through fuse-native, beside what it differs in anyway: docs/fuse-native.md. */

import type { Difference } from "./differences.ts";

/** Of a check that is made twice. */
function both(...checks: readonly string[]): readonly string[] {
  return checks.flatMap((check) => [`${check} (lower)`, `${check} (new)`]);
}

export const NATIVE: readonly Difference[] = [
  {
    reason: "libfuse 2 has no rename with flags: the kernel refuses it",
    checks: [
      "rename: NOREPLACE takes a name that a whiteout hides",
      ...both(
        "rename: NOREPLACE refuses a name that is there",
        "rename: EXCHANGE swaps two files",
        "rename: EXCHANGE swaps a file and a symbolic link",
        "rename: EXCHANGE swaps a file and a directory",
        "rename: EXCHANGE swaps two directories",
      ),
    ],
  },
  {
    reason: "libfuse 2 has no O_TMPFILE",
    checks: both(
      "open: O_TMPFILE makes a file without a name, which link gives it",
      "open: O_TMPFILE with O_EXCL makes a file that never gets a name",
    ),
  },
  {
    reason: "fuse-native has no fallocate",
    checks: both(
      "data: fallocate makes a file longer, or not if so asked",
      "data: fallocate punches a hole, and clears a range",
      "times: fallocate sets mtime ctime",
    ),
  },
  {
    reason: "libfuse 2 has no lseek: a file is data from its beginning to its end",
    checks: both(
      "data: holes are found where nothing was written",
      "copy-up: the holes of a sparse file stay holes", // they do, and are not told
    ),
  },
  {
    reason: "fuse-native does not say who calls: what is made belongs to who serves",
    checks: both(
      "modes: what is made belongs to who made it",
      "modes: a setgid directory gives its group to what is made in it", // and the owner is wrong
    ),
  },
  {
    reason:
      "fuse-native does not say who calls: names of trusted attributes are listed to all (their values are root's)",
    checks: both("permissions: trusted attributes are for root alone"),
  },
  {
    reason: "fuse-native gives and takes times in whole milliseconds",
    checks: both(
      "links: a time set by one name shows by all",
      "special: a symbolic link has times and an owner of its own",
      "times: the epoch is kept to the nanosecond",
      "times: a day after 2038 is kept to the nanosecond",
      "times: times of a layer show as they are there",
      "times: a change of mode keeps the other two times",
    ),
  },
  {
    reason: "fuse-native gives no time before 1970: it shows as the beginning of that year, and is right on disk",
    checks: [
      ...both(
        "times: a nanosecond before the epoch is kept to the nanosecond",
        "times: a day of 1901 is kept to the nanosecond",
      ),
      "times: mounted in the kernel, the upperdir shows the same tree",
    ],
  },
  {
    reason:
      "fuse-native never hears of one time that is set alone: nothing happens, and the caller is told that it did",
    checks: both(
      "times: a time that is omitted stays",
      "times: a time that is omitted stays while the other is set to now",
    ),
  },
  {
    reason: "fuse-native passes names and link targets as UTF-8: others are not listed, and refused with EILSEQ",
    checks: [
      "names: bytes that are no text are names as any other",
      "names: mounted in the kernel, the upperdir shows the same tree",
      ...both(
        "names: odd names of a layer are shown, changed and removed",
        "special: a symbolic link holds what it was given, byte for byte",
      ),
    ],
  },
  {
    reason: "libfuse 2 has no ACLs: the kernel goes by the mode alone, so none is shown or taken",
    checks: [
      ...both(
        "acls: a list lets a named user in and nobody else",
        "acls: a list is set, and counts at once",
        "acls: a named group lets its members in",
        "acls: the mask shows as the group's bits of the mode",
        "acls: a list that says no more than a mode becomes the mode",
        "acls: a list is removed",
        "acls: a list stays when the file is written, renamed and given away",
        "acls: only the owner sets a list",
        "acls: a file inherits the default list of its directory",
        "acls: a directory inherits the default list as both of its own",
        "acls: with a default list the umask does not count",
        "acls: a default list does not change who may enter the directory",
      ),
      "acls: what is renamed into a directory inherits nothing (new)",
      "acls: a symbolic link inherits nothing (new)",
      "acls: mounted in the kernel, the upperdir shows the same tree",
    ],
  },
  {
    reason: "to the kernel the names of one file are several files, each with pages and locks of its own",
    checks: both(
      "links: what is written through a descriptor of one name shows by another",
      "locks: a lock is for the file, by whatever name it is opened",
    ),
  },
  {
    reason: "libfuse 2 has no path for a directory that was removed while it was open: it fails with ENOENT",
    checks: both("unlink: a removed directory has no links"),
  },
];
