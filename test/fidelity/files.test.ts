/** Hard links, sparse files, devices, times, names and numbers: what a member is, read back from the merged tree. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { listTree } from "../helpers/compare.ts";
import { requires } from "../helpers/requires.ts";
import {
  base256,
  device,
  directory,
  file,
  gnuLong,
  gnuSparse,
  hardlink,
  header,
  pax,
  paxSparse,
  type SparseRun,
  symlink,
  tar,
} from "../helpers/tar-builder.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { NEEDS_MOUNT, stat, tool, toolBytes, withMerged } from "./merged.ts";

test("hard links inside a layer are one file with its link count", NEEDS_MOUNT, async () => {
  const layer = tar(file("a", "content"), directory("d/"), hardlink("d/b", "a"), hardlink("c", "./d/b"));
  await withMerged([layer], (merged) => {
    assert.equal(stat(merged, "%h", "a"), "3");
    assert.equal(stat(merged, "%i", "a"), stat(merged, "%i", "d/b"));
    assert.equal(readFileSync(join(merged, "c"), "latin1"), "content");
  });
});

test("a hard link to a file of a lower layer carries its content, mode and attributes", NEEDS_MOUNT, async () => {
  const lower = tar(pax({ "SCHILY.xattr.user.u": "v" }), file("f", "lower content", { mode: 0o751, uid: 8 }));
  await withMerged([lower, tar(hardlink("g", "f"), hardlink("h", "f"))], (merged) => {
    assert.equal(readFileSync(join(merged, "g"), "latin1"), "lower content");
    assert.equal(stat(merged, "%a %u", "g"), "751 8");
    assert.equal(stat(merged, "%i", "g"), stat(merged, "%i", "h"));
    assert.match(tool(merged, "getfattr", "-d", "g"), /user\.u="v"/);
  });
});

const RUNS: readonly SparseRun[] = [
  { offset: 0, data: "start" },
  { offset: 1 << 20, data: "x".repeat(4096) },
  { offset: 3 << 20, data: "y".repeat(100) },
  { offset: 5 << 20, data: "z" },
  { offset: 6 << 20, data: "w".repeat(600) },
  { offset: 7 << 20, data: "end" },
];
const REAL_SIZE = 10 << 20;

function restored(): Buffer {
  const whole = Buffer.alloc(REAL_SIZE);
  for (const run of RUNS) whole.write(run.data, run.offset, "latin1");
  return whole;
}

for (const [format, layer] of [
  ["GNU's old format", gnuSparse("sparse", REAL_SIZE, RUNS)],
  ["pax 0.0", paxSparse("0.0", "sparse", REAL_SIZE, RUNS)],
  ["pax 0.1", paxSparse("0.1", "sparse", REAL_SIZE, RUNS)],
  ["pax 1.0", paxSparse("1.0", "sparse", REAL_SIZE, RUNS)],
] as const) {
  test(`a sparse file in ${format} has its content, and its holes`, NEEDS_MOUNT, async () => {
    await withMerged([tar(layer, file("after", "x"))], (merged) => {
      assert.ok(readFileSync(join(merged, "sparse")).equals(restored()));
      assert.ok(Number(stat(merged, "%b", "sparse")) * 512 < 128 * 1024, "the holes take no blocks");
      assert.equal(readFileSync(join(merged, "after"), "latin1"), "x");
    });
  });
}

test("a file that is one hole takes no blocks", NEEDS_MOUNT, async () => {
  await withMerged([tar(paxSparse("1.0", "hole", 2 ** 35, [{ offset: 2 ** 35, data: "" }]))], (merged) => {
    assert.equal(stat(merged, "%s", "hole"), String(2 ** 35));
    assert.ok(Number(stat(merged, "%b", "hole")) <= 8);
  });
});

for (const format of ["gnu", "pax"]) {
  test(`a sparse file archived by GNU tar in ${format} format is the same`, NEEDS_MOUNT, async () => {
    await using source = temporaryDirectory();
    const path = join(source.path, "sparse");
    writeFileSync(path, "start");
    truncateSync(path, 8 << 20);
    const layer = toolBytes(source.path, "tar", `--format=${format}`, "--sparse", "-cf", "-", "sparse");
    const want = readFileSync(path);
    await withMerged([layer], (merged) => {
      assert.ok(readFileSync(join(merged, "sparse")).equals(want));
      assert.ok(Number(stat(merged, "%b", "sparse")) * 512 < 128 * 1024);
    });
  });
}

test("devices and fifos keep type, numbers, mode and owner", NEEDS_MOUNT, async () => {
  const layer = tar(
    device("null", "3", 1, 3),
    header({ name: "large", type: "3", devMajor: 4095, devMinor: 1_048_575, mode: 0o600 }),
    device("disk", "4", 8, 17),
    header({ name: "fifo", type: "6", mode: 0o620, uid: 5 }),
  );
  await withMerged([layer], (merged) => {
    const listed = listTree(merged);
    assert.equal(listed.get("null")?.device, "1,3");
    assert.equal(listed.get("large")?.device, "4095,1048575");
    assert.equal(stat(merged, "%F %t,%T", "disk"), "block special file 8,11");
    assert.equal(stat(merged, "%F %a %u", "fifo"), "fifo 620 5");
  });
});

test("times keep their nanoseconds, before 1970 and after 2038 too", NEEDS_MOUNT, async () => {
  const times = { old: "-1.999999999", precise: "1700000000.123456789", late: "5000000000.5", short: "12.000000001" };
  const members = Object.entries(times).flatMap(([name, mtime]) => [pax({ mtime }), file(name, "x")]);
  await withMerged([tar(...members)], (merged) => {
    const listed = listTree(merged);
    assert.equal(listed.get("old")?.mtimeNs, -1_999_999_999n);
    assert.equal(listed.get("precise")?.mtimeNs, 1_700_000_000_123_456_789n);
    assert.equal(listed.get("late")?.mtimeNs, 5_000_000_000_500_000_000n);
    assert.equal(listed.get("short")?.mtimeNs, 12_000_000_001n);
  });
});

test("directories have their own time whatever is made in them later, symlinks too", NEEDS_MOUNT, async () => {
  const layer = tar(
    directory("d/", { mtime: 1000 }),
    directory("d/e/", { mtime: 2000 }),
    file("d/e/f", "x", { mtime: 3000 }),
    symlink("d/s", "e", { mtime: 4000 }),
    hardlink("d/e/g", "d/e/f"),
  );
  await withMerged([layer], (merged) => {
    assert.deepEqual(
      ["d", "d/e", "d/e/f", "d/s"].map((path) => stat(merged, "%Y", path)),
      ["1000", "2000", "3000", "4000"],
    );
  });
});

test("names of any bytes are there as they were archived", NEEDS_MOUNT, async () => {
  const names = [
    "\xff\xfe",
    "line\nbreak",
    "back\\slash",
    " space ",
    "caf\xe9",
    "\x01\x7f",
    "-rf",
    ":,",
    "n".repeat(255),
  ];
  const members = names.map((name) =>
    name.length > 100 ? Buffer.concat([pax({ path: name }), file("x")]) : file(name),
  );
  await withMerged([tar(...members)], (merged) => {
    const found = readdirSync(Buffer.from(merged), { encoding: "buffer" }).map((name) => name.toString("latin1"));
    assert.deepEqual(found.sort(), names.toSorted());
  });
});

test("long names of every dialect are whole", NEEDS_MOUNT, async () => {
  const deep = (letter: string): string => Array.from({ length: 8 }, () => letter.repeat(60)).join("/");
  const layer = tar(
    gnuLong("L", `${deep("g")}/f`),
    file("truncated", "gnu", { magic: "gnu" }),
    gnuLong("K", deep("t")),
    gnuLong("L", "link"),
    symlink("truncated", "truncated", { magic: "gnu" }),
    pax({ path: `${deep("p")}/f`, linkpath: deep("q") }),
    symlink("truncated", "truncated"),
    file("f", "ustar", { prefix: `${"u".repeat(70)}/${"v".repeat(80)}` }),
    file("n".repeat(100), "full"),
  );
  await withMerged([layer], (merged) => {
    const listed = listTree(merged);
    assert.equal(listed.get(`${deep("g")}/f`)?.sizeBytes, 3);
    assert.equal(listed.get("link")?.linkTarget, deep("t"));
    assert.equal(listed.get(`${deep("p")}/f`)?.linkTarget, deep("q"));
    assert.equal(listed.get(`${"u".repeat(70)}/${"v".repeat(80)}/f`)?.sizeBytes, 5);
    assert.equal(listed.get("n".repeat(100))?.sizeBytes, 4);
  });
});

test("numbers in base-256 are read, and negative times with them", NEEDS_MOUNT, async () => {
  const layer = tar(
    file("owner", "x", { uid: 3_000_000, gid: 2_147_483_648 }),
    file("old", "x", { raw: [[136, base256(-86_400, 12)]] }),
  );
  await withMerged([layer], (merged) => {
    assert.equal(stat(merged, "%u %g", "owner"), "3000000 2147483648");
    assert.equal(stat(merged, "%Y", "old"), "-86400");
  });
});

test("headers without a magic, with blank numbers, or of a pre-POSIX directory are read", NEEDS_MOUNT, async () => {
  const layer = tar(
    file("v7", "x", { magic: "v7" }),
    file("old-directory/", "", { magic: "v7", mode: 0o755, type: "\0" }),
    header({
      name: "blank",
      raw: [
        [108, Buffer.from("        ")],
        [116, Buffer.alloc(8)],
      ],
    }),
    file("contiguous", "x", { type: "7" }),
  );
  await withMerged([layer], (merged) => {
    assert.equal(stat(merged, "%F", "old-directory"), "directory");
    assert.equal(stat(merged, "%u %g", "blank"), "0 0");
    assert.deepEqual(readdirSync(merged).sort(), ["blank", "contiguous", "old-directory", "v7"]);
  });
});

test("an archive of GNU tar, with all its devices, links and names, is the tree it was made from", {
  skip: requires("root", "overlay", "program:tar", "program:getfattr"),
}, async () => {
  await using source = temporaryDirectory();
  const script = `
    mkdir -p tree/d/e tree/$(printf 'n%.0s' $(seq 200)) && cd tree
    printf content >f && ln f d/hard && ln -s ../f d/soft && mkfifo fifo && mknod c c 5 1 && mknod b b 7 300
    chmod 4711 f && chown 123:456 d && chmod 2775 d && printf x >"$(printf 'odd\\377\\nname')"
    setfattr -n user.u -v v f && setfattr -n trusted.t -v v d && setfattr -h -n trusted.l -v v d/soft
    truncate -s 1M d/e/sparse && printf tail >>d/e/sparse && touch -d '2001-02-03 04:05:06.123456789' d/e/sparse
    touch -h -d @1234567890.987654321 d/soft && touch -d @1.5 d/e d .`;
  tool(source.path, "sh", "-ec", script);
  const tree = join(source.path, "tree");
  const layer = toolBytes(tree, "tar", "--format=pax", "--xattrs", "--xattrs-include=*", "--sparse", "-cf", "-", ".");
  await withMerged([layer], (merged) => {
    assert.deepEqual([...listTree(merged)], [...listTree(tree)]);
  });
});
