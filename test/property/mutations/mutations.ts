/**
 * Deliberate bugs, one at a time: in a file, a text that is there once is replaced. Each must be found by the share of the
 * property tests that `npm test` runs; one whose text is no longer there fails too, and is to be written anew.
 */

import type { SHARE } from "../share.ts";

export interface Mutation {
  readonly bug: string;
  readonly file: string;
  readonly text: string;
  readonly replacement: string;
  /** Of which subject's share. */
  readonly foundIn: (typeof SHARE)[number][0];
}

function mutation(
  bug: string,
  file: string,
  text: string,
  replacement = "",
  foundIn: Mutation["foundIn"] = "core",
): Mutation {
  return { bug, file, text, replacement, foundIn };
}

/** One that shows only where the union is killed. */
function crashMutation(bug: string, file: string, text: string, replacement = ""): Mutation {
  return mutation(bug, file, text, replacement, "core --crash");
}

/** One of what a store does with an image. */
function storeMutation(bug: string, file: string, text: string, replacement = ""): Mutation {
  return mutation(bug, file, text, replacement, "store");
}

const [COPY_UP, MAKE_COPY, CREATE, REMOVE, RENAME] = ["copy-up", "make-copy", "create", "remove", "rename"].map(
  (name) => `fuse/union/${name}.ts`,
) as [string, string, string, string, string];

export const MUTATIONS: readonly Mutation[] = [
  mutation("copy-up forgets the directory above", COPY_UP, "  copyUp(union, first.parent);\n"),
  mutation("copy-up forgets the mode", MAKE_COPY, "file.O_RDWR, mode & 0o777)", "file.O_RDWR, 0o600)"),
  mutation("copy-up forgets the times", MAKE_COPY, "{ seconds: stat.mtimeSeconds, rest: stat.mtimeRest }", '"now"'),
  mutation("copy-up forgets the attributes", MAKE_COPY, "copyXattrs(union, layer, source, copy.target);", "{}"),
  mutation(
    "copy-up sets the time of the directory",
    COPY_UP,
    "  keepTimes(union, parent, before);\n  enter",
    "  enter",
  ),
  mutation(
    "copy-up loses hard links",
    COPY_UP,
    "node.isDirectory || stat.nlink < 2 ? null : (copy",
    "node.isDirectory || stat.nlink < 2000 ? null : (copy",
  ),
  mutation(
    "copy-up counts a link too many",
    COPY_UP,
    "stat.nlink + node.extraNames - 2;",
    "stat.nlink + node.extraNames - 1;",
  ),
  mutation(
    "copy-up does not tell the directory's listing",
    COPY_UP,
    "  union.indexOf(parent).setPresent(name, node.type >> 12, node.ino);\n",
  ),
  mutation(
    "copy-up drops the last byte of a small file",
    "fuse/union/copy-content.ts",
    "copyThroughUs(from, to, 0, sizeBytes);",
    "copyThroughUs(from, to, 0, sizeBytes - 1);",
  ),
  mutation(
    "truncation to a size copies nothing up",
    "fuse/union/set-attributes.ts",
    'sizeBytes === 0 && node.opens === 0 ? "nothing" : "all"',
    'sizeBytes !== undefined ? "nothing" : "all"',
  ),
  mutation(
    "opening for writing copies no content up",
    "fuse/server/files.ts",
    'isTruncating ? "nothing" : "all"',
    '"nothing"',
  ),
  mutation(
    "a directory in place of a whiteout is not opaque",
    CREATE,
    "if (isDirectory && spot.isWhitedOut) setOpaque",
    'if (spot.path === "") setOpaque',
  ),
  mutation(
    "a whiteout is not taken away when its name is made again",
    CREATE,
    'isWhitedOut: entry?.upper === "whiteout"',
    "isWhitedOut: false",
  ),
  mutation(
    "a link copied up into another directory changes its number",
    CREATE,
    "  if (mayBeCopy) markImpure(union, parent);",
    "  if (mayBeCopy && parent.isOrphan) markImpure(union, parent);",
  ),
  mutation("unlink of a lower file leaves no whiteout", REMOVE, "  else whiteoutAt(upper, path);\n  index", "  index"),
  mutation(
    "unlink of a copied-up file shows the lower one again",
    REMOVE,
    "const mustHide = entry.lowers.length > 0;",
    "const mustHide = false;",
  ),
  mutation(
    "rmdir removes what is in a directory",
    REMOVE,
    '  if (!union.indexOf(node).isEmpty) throw new PosixError(ERRNO.ENOTEMPTY, "rmdir");\n',
  ),
  mutation(
    "a file that is open is lost with its last name",
    REMOVE,
    "  if (isInUpper && node.names.length === 1) holdOrphan(union, node);\n",
  ),
  mutation(
    "unlink does not count a lower name",
    REMOVE,
    "  else if (!isInUpper) changeExtraNames(union, upper, node, -1);\n",
  ),
  mutation(
    "rename leaves no whiteout at the old name",
    RENAME,
    "const mustHide = (union.indexOf(old.parent).get(old.name)?.lowers.length ?? 0) > 0;",
    "const mustHide = false;",
  ),
  mutation(
    "a renamed directory has no redirect",
    RENAME,
    '  setXattr(target, attribute, Buffer.from(redirect, "latin1"));\n',
  ),
  mutation(
    "a directory moved to another has a redirect beside it",
    RENAME,
    "const isSibling = first?.parent === parent;",
    "const isSibling = first !== undefined;",
  ),
  mutation(
    "a directory moved over a lower one is merged with it",
    RENAME,
    "if (entry !== undefined && entry.lowers.length > 0) setOpaque(target, union.namespace);",
    "",
  ),
  mutation("of two exchanged directories one is marked", RENAME, "  markMoved(union, target.node, old);\n"),
  mutation("rename onto a directory with whiteouts in it is refused", RENAME, "  removeWhiteouts(upper, path);\n"),
  mutation(
    "rename of a name that is still below leaves it there",
    RENAME,
    "  linkUp(union, upper, node, parent, name);\n",
  ),
  mutation(
    "opaque directories of the upperdir are merged",
    "fuse/union/lookup.ts",
    "    if (isOpaque(union, upper)) return found;\n",
  ),
  mutation(
    "opaque directories of lower layers are merged",
    "fuse/union/lookup.ts",
    "if (location.layer.index === union.lowers.length - 1 || isOpaque(union, location)) break;",
    "if (location.layer.index === union.lowers.length - 1) break;",
  ),
  mutation(
    "the names of a file are not known to be one",
    "fuse/union/lookup.ts",
    "const key = stat.nlink > 1 ?",
    "const key = stat.nlink > 1000 ?",
  ),
  mutation(
    "whiteouts of lower layers hide nothing",
    "fuse/union/directory-index.ts",
    "for (const whiteout of names.whiteouts) closed.add(whiteout);",
    "for (const whiteout of names.whiteouts) closed.delete(whiteout);",
  ),
  mutation(
    "a file does not hide the directories below it",
    "fuse/union/directory-index.ts",
    "      } else {\n        closed.add(name);\n      }",
    "      } else if (type === DT.dir) entry.lowers = [...entry.lowers, position];",
  ),
  mutation(
    "a listing goes on one entry too late",
    "fuse/union/readdir.ts",
    "  return low;\n",
    "  return offset > 2 ? low + 1 : low;\n",
  ),
  mutation(
    "a listing begins again where it stopped",
    "fuse/union/readdir.ts",
    "(listing[middle]?.cookie ?? 0) <= offset",
    "(listing[middle]?.cookie ?? 0) < offset",
  ),
  mutation(
    "a listing shows whiteouts",
    "fuse/union/readdir.ts",
    "index.get(entry.name) === entry && isVisible(entry)",
    "index.get(entry.name) === entry",
  ),
  mutation(
    "attributes of an overlay inside are not escaped",
    "fuse/union/union.ts",
    "const stored = storedXattr(name, this.namespace, override);",
    "const stored: string | null = override === null ? name : storedXattr(name, this.namespace, override);",
  ),
  mutation(
    "a diff forgets what an opaque directory hides",
    "layers/diff/upper-diff.ts",
    "if (!hides || below === null) return;",
    "if (hides || below === null) return;",
  ),
  mutation(
    "a diff forgets opacity one directory down",
    "layers/diff/upper-diff.ts",
    "const opaque = hides || (isMarked",
    "const opaque = (isMarked",
  ),
  mutation(
    "a diff does not see that names have parted",
    "layers/diff/collector.ts",
    "for (const names of partedOf(kept)) this.#addUnchanged(names);",
    "partedOf(kept);",
  ),
  mutation(
    "a diff does not follow redirects",
    "layers/diff/upper-diff.ts",
    "redirectOf(node.hostPath, this.#namespace) !== null",
    'redirectOf(node.hostPath, this.#namespace) === ""',
  ),
  mutation(
    "a diff does not see times",
    "layers/diff/compare.ts",
    "const mtime = a.mtimeNs !== b.mtimeNs;",
    "const mtime = false as boolean;",
  ),
  mutation(
    "a diff does not see owners",
    "layers/diff/compare.ts",
    "const owner = a.uid !== b.uid || a.gid !== b.gid;",
    "const owner = false as boolean;",
  ),
  mutation(
    "a diff lists everything that was copied up",
    "layers/diff/collector.ts",
    "const isChange = before === null || what.length > 0;",
    "const isChange = true as boolean;",
  ),
  mutation(
    "a diff forgets the other names of a changed file",
    "layers/diff/collector.ts",
    "if (names.length === 1) return true;",
    "return true;",
  ),
  mutation(
    "a layer has hard links as copies",
    "layers/diff/layer-tar.ts",
    "const isLink = first !== null;",
    'const isLink = first === "";',
  ),
  mutation(
    "a layer loses setuid and setgid",
    "layers/diff/layer-tar.ts",
    "mode: stat.mode & 0o7777,",
    "mode: stat.mode & 0o777,",
  ),
  mutation(
    "the last names of a directory are not found gone",
    "layers/diff/tree-diff.ts",
    "    for (; at < old.length; at++) this.#one(old[at] ?? null, null);\n",
  ),
  storeMutation(
    "a commit ignores SOURCE_DATE_EPOCH",
    "layers/source-date.ts",
    "const clamp = sourceDateNs();",
    "const clamp = null as bigint | null;",
  ),
  storeMutation(
    "a saved archive has the time of its making",
    "layers/formats/write-archive.ts",
    "uid: 0, gid: 0, mtime: EPOCH };",
    "uid: 0, gid: 0, mtime: new Date(performance.now() * 1000) };",
  ),
  storeMutation(
    "an import loses what an opaque directory hides",
    "layers/diff/tree-diff.ts",
    "      if (before !== null) this.#collector.delete(before.path);\n",
    "      if (before !== null && before.stat.nlink < 2) this.#collector.delete(before.path);\n",
  ),
  crashMutation(
    "a copy has its name before it has its content",
    MAKE_COPY,
    "    if (from >= 0) copyContent(",
    "    const [at] = node.names;\n    if (at !== undefined && from >= 0 && stat.nlink < 2) file.linkAt(upper.work.fd, name, upper.layer.fd, union.childPath(at.parent, at.name));\n    if (from >= 0) copyContent(",
  ),
  crashMutation(
    "a copy of several names has its own before the index has it",
    COPY_UP,
    "    enterIndex(union, upper, node, copy, indexName, extraNames + 1);\n    file.linkAt(upper.index.fd, indexName, upper.layer.fd, path);\n",
    "    file.linkAt(upper.work.fd, copy.name, upper.layer.fd, path);\n    for (let n = 0; n < 4; n++) storeExtraNames(union, copy.target, extraNames);\n    enterIndex(union, upper, node, copy, indexName, extraNames);\n",
  ),
  crashMutation(
    "what is below shows before the whiteout is made",
    REMOVE,
    "  whiteoutIn(upper, temporary, path);\n  file.renameAt",
    "  whiteoutIn(upper, temporary, path);\n  if (!isDirectory) file.unlinkAt(upper.layer.fd, path);\n  file.renameAt",
  ),
  crashMutation(
    "a renamed file has both names before the whiteout is made",
    RENAME,
    "    file.renameAt(upper.layer.fd, path, upper.layer.fd, newPath, file.RENAME_WHITEOUT);\n    return;\n",
    '    throw new PosixError(ERRNO.EINVAL, "rename");\n',
  ),
  crashMutation(
    "a directory has its place before it is opaque",
    CREATE,
    "    if (isDirectory && spot.isWhitedOut) setOpaque(joinHost(upper.work.path, stage.path), union.namespace);\n    if (spot.isWhitedOut) moveOverWhiteout(upper, stage.path, spot.path, isDirectory);\n",
    "    if (spot.isWhitedOut) moveOverWhiteout(upper, stage.path, spot.path, isDirectory);\n    if (isDirectory && spot.isWhitedOut) setOpaque(joinHost(upper.layer.path, spot.path), union.namespace);\n",
  ),
  crashMutation(
    "a directory that is renamed over loses its whiteouts before it is opaque",
    RENAME,
    "  if (target.lowers.length > 0) setOpaque(union.xattrTargetOf(target), union.namespace);\n  target.lowers = [];\n  target.index = null;\n  removeWhiteouts(upper, path);\n",
    "  const mustHide = target.lowers.length > 0;\n  target.lowers = [];\n  target.index = null;\n  removeWhiteouts(upper, path);\n  if (mustHide) setOpaque(union.xattrTargetOf(target), union.namespace);\n",
  ),
  crashMutation(
    "a new mount finds what a killed server was making",
    "fuse/union/workdir.ts",
    '  removeTree(joinHost(workdir, "work"));\n',
  ),
  crashMutation(
    "a copy has its name before it has its owner and times",
    MAKE_COPY,
    "    copyMetadata(union, upper, {",
    "    const [at] = node.names;\n    if (at !== undefined && !node.isDirectory && stat.nlink < 2) file.linkAt(upper.work.fd, name, upper.layer.fd, union.childPath(at.parent, at.name));\n    copyMetadata(union, upper, {",
  ),
];
