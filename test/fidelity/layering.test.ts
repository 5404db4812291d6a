/** What layers do to each other: whiteouts and opaque marks in any order, replaced types, parents that are implied. */

import assert from "node:assert/strict";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { directory, file, pax, symlink, tar } from "../helpers/tar-builder.ts";
import { NEEDS_MOUNT, stat, withMerged, xattr } from "./merged.ts";

const LOWER = tar(
  directory("d/"),
  file("d/a", "a"),
  file("d/b", "b"),
  directory("d/e/"),
  file("d/e/c", "c"),
  file("f", "f"),
);
const names = (merged: string, path = "."): readonly string[] => readdirSync(join(merged, path)).sort();

test("a whiteout hides a file, and a directory with all it has", NEEDS_MOUNT, async () => {
  await withMerged([LOWER, tar(file(".wh.f"), file("d/.wh.e"))], (merged) => {
    assert.deepEqual(names(merged), ["d"]);
    assert.deepEqual(names(merged, "d"), ["a", "b"]);
  });
});

test("a whiteout hides a name of 255 bytes, though its own is longer than any file's", NEEDS_MOUNT, async () => {
  const name = "n".repeat(255);
  const long = (path: string): Buffer => Buffer.concat([pax({ path }), file("long")]);
  await withMerged([tar(long(name), file("kept", "k")), tar(long(`.wh.${name}`))], (merged) =>
    assert.deepEqual(names(merged), ["kept"]),
  );
});

const OPAQUE = file("d/.wh..wh..opq");
for (const [order, members] of [
  ["first", [OPAQUE, directory("d/"), file("d/new", "n")]],
  ["in the middle", [directory("d/"), OPAQUE, file("d/new", "n")]],
  ["last", [directory("d/"), file("d/new", "n"), OPAQUE]],
] as const) {
  test(`an opaque mark that comes ${order} hides what is below and nothing of its own layer`, NEEDS_MOUNT, async () => {
    await withMerged([LOWER, tar(...members)], (merged) => {
      assert.deepEqual(names(merged, "d"), ["new"]);
      assert.deepEqual(names(merged), ["d", "f"]);
    });
  });
}

for (const [order, members] of [
  ["before", [file(".wh.d"), directory("d/"), file("d/new", "n")]],
  ["after", [directory("d/"), file("d/new", "n"), file(".wh.d")]],
] as const) {
  test(
    `a whiteout ${order} a directory made anew in the same layer hides the old children only`,
    NEEDS_MOUNT,
    async () => {
      await withMerged([LOWER, tar(...members)], (merged) => assert.deepEqual(names(merged, "d"), ["new"]));
    },
  );
}

test("a whiteout and a new file of that name leave the new file, whichever comes first", NEEDS_MOUNT, async () => {
  await withMerged([LOWER, tar(file(".wh.f"), file("f", "new"), file("d/a", "new"), file("d/.wh.a"))], (merged) => {
    assert.equal(readFileSync(join(merged, "f"), "latin1"), "new");
    assert.equal(readFileSync(join(merged, "d/a"), "latin1"), "new");
  });
});

test("a directory that the tar only marks opaque keeps the attributes it has below", NEEDS_MOUNT, async () => {
  const lower = tar(directory("d/", { mode: 0o711, uid: 7 }), file("d/a", "a"));
  await withMerged([lower, tar(OPAQUE)], (merged) => {
    assert.deepEqual(names(merged, "d"), []);
    assert.equal(stat(merged, "%a %u", "d"), "711 7");
  });
  await withMerged([lower, tar(file(".wh.d"), file("d/new"))], (merged) => {
    assert.equal(stat(merged, "%a %u", "d"), "755 0", "one that is made anew does not");
  });
});

test(
  "an opaque mark below a lower symlink empties the directory it leads to, and the symlink stays",
  NEEDS_MOUNT,
  async () => {
    const lower = tar(directory("usr/"), directory("usr/lib/"), file("usr/lib/old"), symlink("lib", "usr/lib"));
    await withMerged([lower, tar(file("lib/.wh..wh..opq"), file("lib/new"))], (merged) => {
      assert.equal(readlinkSync(join(merged, "lib")), "usr/lib");
      assert.deepEqual(names(merged, "usr/lib"), ["new"]);
    });
  },
);

test("an opaque root hides every lower layer", NEEDS_MOUNT, async () => {
  await withMerged([LOWER, tar(file(".wh..wh..opq"), file("only", "x"))], (merged) => {
    assert.deepEqual(names(merged), ["only"]);
  });
});

test("whiteouts in an opaque directory and for names of the same layer do no harm", NEEDS_MOUNT, async () => {
  await withMerged([LOWER, tar(OPAQUE, file("d/.wh.a"), file("d/.wh.nothing"), file("d/b", "new"))], (merged) => {
    assert.deepEqual(names(merged, "d"), ["b"]);
  });
});

test("a directory over a directory changes its attributes and keeps the children", NEEDS_MOUNT, async () => {
  await withMerged([LOWER, tar(directory("d/", { mode: 0o700, uid: 9, mtime: 77 }))], (merged) => {
    assert.equal(stat(merged, "%a %u %Y", "d"), "700 9 77");
    assert.deepEqual(names(merged, "d"), ["a", "b", "e"]);
  });
});

test("a file over a directory and a directory over a file replace it whole", NEEDS_MOUNT, async () => {
  await withMerged([LOWER, tar(file("d", "now a file"), directory("f/"), file("f/in", "x"))], (merged) => {
    assert.equal(readFileSync(join(merged, "d"), "latin1"), "now a file");
    assert.deepEqual(names(merged, "f"), ["in"]);
  });
});

test("a directory made over a lower symlink to a directory is a directory of its own", NEEDS_MOUNT, async () => {
  const lower = tar(directory("d/"), file("d/a", "a"), symlink("s", "d"));
  await withMerged([lower, tar(directory("s/"), file("s/new", "x"))], (merged) => {
    assert.ok(lstatSync(join(merged, "s")).isDirectory());
    assert.deepEqual(names(merged, "s"), ["new"]);
    assert.deepEqual(names(merged, "d"), ["a"]);
  });
});

test("an entry below a symlink of a lower layer lands where it leads", NEEDS_MOUNT, async () => {
  const lower = tar(
    directory("usr/"),
    directory("usr/bin/", { mode: 0o711, uid: 4 }),
    file("usr/bin/sh", "sh"),
    symlink("bin", "usr/bin"),
  );
  await withMerged([lower, tar(file("bin/new", "x"), file("bin/.wh.sh"))], (merged) => {
    assert.equal(readlinkSync(join(merged, "bin")), "usr/bin");
    assert.deepEqual(names(merged, "usr/bin"), ["new"]);
    assert.equal(stat(merged, "%a %u", "usr/bin"), "711 4");
  });
});

test("a parent that the tar does not list is the lower directory, or a plain one of its own", NEEDS_MOUNT, async () => {
  const lower = tar(pax({ "SCHILY.xattr.user.u": "v" }), directory("d/", { mode: 0o1733, uid: 5, mtime: 99 }));
  await withMerged([lower, tar(file("d/e/f", "x"), file("d/g", "x"))], (merged) => {
    assert.equal(stat(merged, "%a %u %Y", "d"), "1733 5 99");
    assert.equal(xattr(merged, "user.u", "d"), "0x76");
    assert.equal(stat(merged, "%a %u", "d/e"), "755 0");
  });
});

test("a directory listed after what is in it still gets its own attributes", NEEDS_MOUNT, async () => {
  await withMerged(
    [tar(file("d/e/f", "x"), directory("d/e/", { mode: 0o700, mtime: 5 }), directory("d/", { mtime: 6 }))],
    (merged) => {
      assert.equal(stat(merged, "%a %Y", "d/e"), "700 5");
      assert.equal(stat(merged, "%Y", "d"), "6");
    },
  );
});

test("AUFS leftovers are skipped", NEEDS_MOUNT, async () => {
  const layer = tar(
    file(".wh..wh.aufs"),
    directory(".wh..wh.plnk/"),
    file(".wh..wh.plnk/1.2", "x"),
    file(".wh..wh.orph"),
    file("f"),
  );
  await withMerged([layer], (merged) => assert.deepEqual(names(merged), ["f"]));
});

test(
  "overlay attributes in a layer are data: they act on nothing and are read again under their names",
  NEEDS_MOUNT,
  async () => {
    const lower = tar(directory("d/"), file("d/a", "a"));
    const payload = pax({ "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.overlay.opaque": "y" });
    const origin = pax({
      "SCHILY.xattr.trusted.overlay.redirect": "/elsewhere",
      "SCHILY.xattr.trusted.overlay.overlay.opaque": "y",
    });
    await withMerged([lower, tar(payload, directory("d/"), origin, directory("r/"), file("r/f", "x"))], (merged) => {
      assert.deepEqual(names(merged, "d"), ["a"]);
      assert.equal(xattr(merged, "trusted.overlay.opaque", "d"), "0x79");
      assert.equal(xattr(merged, "user.overlay.opaque", "d"), "0x79");
      assert.equal(xattr(merged, "trusted.overlay.redirect", "r"), `0x${Buffer.from("/elsewhere").toString("hex")}`);
      assert.equal(xattr(merged, "trusted.overlay.overlay.opaque", "r"), "0x79");
      assert.deepEqual(names(merged, "r"), ["f"]);
    });
  },
);

test("an empty layer, and a layer twice, are layers", NEEDS_MOUNT, async () => {
  const upper = tar(file("d/x", "x"), file(".wh.f"));
  await withMerged([LOWER, tar(), upper, tar(file("f", "back")), upper], (merged) => {
    assert.equal(existsSync(join(merged, "f")), false);
    assert.deepEqual(names(merged, "d"), ["a", "b", "e", "x"]);
  });
});

test("a whiteout in a directory that no layer below has leaves no name behind", NEEDS_MOUNT, async () => {
  const layers = [
    tar(file("a"), directory("only/"), file("only/.wh.base")),
    tar(directory("d/"), file("d/.wh.nothing"), file("d/x")),
  ];
  await withMerged(layers, (merged) => {
    assert.deepEqual(readdirSync(join(merged, "d")), ["x"]);
    assert.deepEqual(readdirSync(join(merged, "only")), []);
  });
});

for (const [name, members] of [
  ["file after its whiteout through the symlink", [file("lib/.wh.x"), file("usr/lib/x", "new")]],
  ["file before its whiteout through the symlink", [file("usr/lib/x", "new"), file("lib/.wh.x")]],
  ["file through the symlink after its whiteout", [file("usr/lib/.wh.x"), file("lib/x", "new")]],
  ["file with its whiteout twice", [file("lib/x", "new"), file("usr/lib/.wh.x"), file("lib/.wh.x")]],
] as const) {
  test(`a ${name} of a lower layer is the new file`, NEEDS_MOUNT, async () => {
    const lower = tar(directory("usr/"), directory("usr/lib/"), file("usr/lib/x", "old"), symlink("lib", "usr/lib"));
    await withMerged([lower, tar(...members)], (merged, store) => {
      assert.equal(readFileSync(join(merged, "usr/lib/x"), "latin1"), "new");
      assert.deepEqual(names(merged, "lib/"), ["x"]);
      assert.match(store.ok("fsck", "--deep"), /sound/);
    });
  });
}

for (const members of [
  [file("lib/.wh.d"), directory("usr/lib/d/"), file("usr/lib/d/new")],
  [file("usr/lib/.wh.d"), directory("lib/d/"), file("lib/d/new")],
  [directory("usr/lib/d/"), file("usr/lib/d/new"), file("lib/d/.wh..wh..opq")],
]) {
  const order = members.map((member) => member.toString("latin1", 0, 100).replaceAll("\0", "")).join(", ");
  test(`a directory made anew beside a lower symlink to it hides the old children: ${order}`, NEEDS_MOUNT, async () => {
    const lower = tar(directory("usr/lib/d/"), file("usr/lib/d/old"), symlink("lib", "usr/lib"));
    await withMerged([lower, tar(...members)], (merged) => assert.deepEqual(names(merged, "usr/lib/d"), ["new"]));
  });
}

test(
  "a directory reached through a lower symlink and by its own name has the attributes that are listed",
  NEEDS_MOUNT,
  async () => {
    const lower = tar(directory("c/", { mode: 0o700, mtime: 3 }), symlink("d", "/"));
    for (const members of [
      [directory("c/", { mode: 0o711, mtime: 5 }), file("d/c/x")],
      [directory("d/c/", { mode: 0o711, mtime: 5 }), file("c/x")],
      [file("c/y"), file("d/c/x"), directory("d/c/", { mode: 0o711, mtime: 5 })],
    ]) {
      await withMerged([lower, tar(...members)], (merged) => {
        assert.equal(stat(merged, "%a %Y", "c"), "711 5");
        assert.ok(names(merged, "c").includes("x") || names(merged, "c").includes("y"));
      });
    }
  },
);

for (const [name, link, lowerTarget, prefix] of [
  ["to the directory it is in", "bin/X11", ".", "bin/X11/X11/X11/"],
  ["to the root", "c", "/", "c/c/"],
  ["to a directory far above", "a/b/c", "/", "a/b/c/a/b/c/a/b/c/"],
] as const) {
  test(`entries below a lower symlink ${name}, followed several times, lie where it leads`, NEEDS_MOUNT, async () => {
    const lower = tar(directory("bin/"), directory("a/b/"), symlink(link, lowerTarget));
    const upper = tar(file(`${prefix}x`, "new"), directory(`${prefix}d/`, { mode: 0o700 }), file(`${prefix}.wh.gone`));
    const place = lowerTarget === "/" ? "" : "bin/";
    await withMerged([tar(file(`${place}gone`)), lower, upper], (merged, store) => {
      assert.equal(readlinkSync(join(merged, link)), lowerTarget);
      assert.equal(readFileSync(join(merged, place, "x"), "utf8"), "new");
      assert.equal(stat(merged, "%a", join(place, "d")), "700");
      assert.equal(existsSync(join(merged, place, "gone")), false);
      store.ok("fsck", "--deep");
    });
  });
}
