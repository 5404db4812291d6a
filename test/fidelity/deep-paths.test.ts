/**
 * Paths of nearly PATH_MAX inside a layer, which with the store's own path are longer than any system call takes: they
 * are imported, stacked on, mounted, compared, committed, exported and removed like others.
 */

import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { directory, file, hardlink, pax, symlink, tar } from "../helpers/tar-builder.ts";
import { IMAGE, storeWith, tool } from "./merged.ts";

const NEEDS = { skip: requires("root", "overlay", "program:tar", "program:find") };

/** A path of exactly `bytes`, of names of `nameBytes` that end with `letter`. */
function deepPath(letter: string, bytes: number, nameBytes: number): string {
  const name = letter.padStart(nameBytes, "\xff");
  let path = name;
  while (path.length + 1 + nameBytes <= bytes - 2) path += `/${name}`;
  return `${path}/${"n".repeat(bytes - path.length - 1)}`;
}

const parentsOf = (path: string): readonly string[] =>
  [...path.matchAll(/\//g)].map(({ index }) => path.slice(0, index));
/** A member with a path, and a link target, of any length. */
const long = (path: string, member: Buffer, linkpath?: string): Buffer =>
  Buffer.concat([pax({ path, ...(linkpath !== undefined && { linkpath }) }), member]);
const directoriesOf = (path: string): readonly Buffer[] =>
  parentsOf(path).map((parent) => long(`${parent}/`, directory("x")));
/** The last name of `path` replaced by one as long, or shorter. */
const beside = (path: string, letter: string): string => path.slice(0, -1) + letter;
/** Everything below a directory: type, path, size, link count. */
const listing = (root: string): readonly string[] =>
  tool(root, "find", ".", "-printf", "%y %n %s %U %T@ %P\\0").split("\0").sort();

for (const [bytes, nameBytes] of [
  [4000, 255],
  [4011, 20],
  [4050, 100],
  [4095, 40],
  [4095, 254],
] as const) {
  test(`paths of ${bytes} bytes, of names of ${nameBytes}, work from import to export`, NEEDS, async () => {
    const [path, gone] = [deepPath("d", bytes, nameBytes), deepPath("e", bytes, nameBytes)];
    const base = tar(
      ...directoriesOf(path),
      long(path, file("x", "content")),
      long(beside(path, "s"), symlink("x", "to")),
      Buffer.concat([pax({ path: beside(path, "x"), "SCHILY.xattr.user.note": "v" }), file("x", "marked")]),
      long(beside(path, "h"), hardlink("x", "x"), path),
      long(`${beside(path, "o")}/`, directory("x")),
      ...directoriesOf(gone),
      long(gone, file("x", "gone")),
    );
    const cut = gone.lastIndexOf("/") + 1;
    const top = tar(
      long(`${gone.slice(0, cut)}.wh.${gone.slice(cut)}`, file("x")),
      long(beside(gone, "l"), hardlink("x", "x"), path),
    );
    await using store = storeWith(base, top);
    const merged = store.mount(IMAGE, "--name", "work");
    const script = join(store.path, "script"); // a file, because an argument cannot have these bytes
    const [marked, fresh] = [beside(path, "x"), beside(path, "w")];
    const commands = `cat '${path}' '${marked}'; test ! -e '${gone}'; printf more >>'${path}'; rm '${marked}'; printf new >'${fresh}'`;
    writeFileSync(script, commands, "latin1");
    const shown = tool(merged, "sh", "-e", script);
    assert.equal(shown, "contentmarked");
    const want = listing(merged);
    const changed = store.ok("diff", "work", "--json");
    assert.equal(JSON.parse(changed).changes.length, 4, changed.slice(-500));
    store.ok("diff", "work", "--tar", join(store.path, "layer.tar"));
    store.ok("commit", "work", "localhost/changed:1");
    assert.deepEqual(listing(store.mount("localhost/changed:1", "--name", "again")), want);
    store.ok("export", "work", "-o", join(store.path, "export.tar"));
    tool(store.path, "mkdir", "extracted");
    tool(join(store.path, "extracted"), "tar", "-xpf", "../export.tar");
    assert.equal(listing(join(store.path, "extracted")).length, want.length);
    await using other = temporaryStore();
    store.ok("save", "localhost/changed:1", "-o", join(other.path, "image.tar"));
    other.ok("import", join(other.path, "image.tar"));
    assert.deepEqual(listing(other.mount("localhost/changed:1")), want);
    assert.match(store.ok("fsck", "--deep"), /sound/);
    for (const name of ["work", "again"]) {
      store.ok("umount", name);
      store.ok("rm", name);
    }
    store.ok("rmi", IMAGE, "localhost/changed:1");
    store.ok("gc");
    assert.deepEqual(readdirSync(join(store.root, "layers")), []);
  });
}
