/** Holds the house together: imports run one way, and FFI, SQL and output stay where they belong (docs/architecture.md). */

import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";

/** A file may import from its own floor and from those listed; the first pattern that matches its path is its floor. */
const FLOORS: readonly { readonly floor: string; readonly files: RegExp; readonly may: readonly string[] }[] = [
  { floor: "foundation", files: /^src\/[^/]+\.ts$/, may: [] },
  { floor: "sys", files: /^src\/sys\//, may: ["foundation"] },
  { floor: "overlay", files: /^src\/overlay\//, may: ["foundation", "sys"] },
  { floor: "meta", files: /^src\/meta\//, may: ["foundation", "sys"] },
  { floor: "mount", files: /^src\/mount\//, may: ["foundation", "sys", "overlay", "meta"] },
  { floor: "exec", files: /^src\/exec\//, may: ["foundation", "sys", "overlay", "meta", "mount"] },
  { floor: "layers", files: /^layers\//, may: ["foundation", "sys", "overlay", "meta", "mount", "exec"] },
  { floor: "fuse", files: /^fuse\//, may: ["foundation", "sys", "overlay"] },
  { floor: "cli", files: /^cli\//, may: ["foundation", "sys", "overlay", "meta", "mount", "exec", "layers", "fuse"] },
];

/** What only some files may import or contain. */
const RESERVED: readonly { readonly what: RegExp; readonly where: RegExp; readonly rule: string }[] = [
  { what: /from "koffi"|\("koffi"\)/, where: /^src\/sys\//, rule: "only src/sys calls libc" },
  {
    what: /(from |\(|import\()"fuse-native[/"]/,
    where: /^fuse\/transports\/fuse-native\.ts$/,
    rule: "only one file imports fuse-native",
  },
  { what: /better-sqlite3/, where: /^src\/meta\//, rule: "only src/meta opens databases" },
  { what: /\b(SELECT|INSERT INTO|DELETE FROM|CREATE TABLE)\b/, where: /^src\/meta\//, rule: "only src/meta holds SQL" },
  {
    what: /\bconsole\.|process\.(stdout|exit\()/,
    where: /^(cli|scripts)\/|^fuse\/server\/thread\.ts$/,
    rule: "only cli prints and exits; a thread that serves ends itself",
  },
];

const files = globSync("{src,layers,fuse,cli}/**/*.ts");

function floorOf(file: string): (typeof FLOORS)[number] | undefined {
  return FLOORS.find(({ files }) => files.test(file));
}

function importsOf(file: string): readonly string[] {
  const source = readFileSync(file, "utf8");
  return [...source.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map((match) =>
    normalize(join(dirname(file), match[1] ?? "")),
  );
}

test("imports point one way: src, then layers or fuse, then cli", () => {
  const wrong: string[] = [];
  for (const file of files) {
    const from = floorOf(file);
    assert.ok(from, `${file} belongs to no floor`);
    for (const target of importsOf(file)) {
      const to = floorOf(target);
      if (target === "package.json") continue; // its version
      if (to === undefined || (to !== from && !from.may.includes(to.floor))) wrong.push(`${file} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("FFI, SQL and output are found only in their own folders", () => {
  const wrong: string[] = [];
  for (const file of files) {
    const source = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ""); // comments may name anything
    for (const { what, where, rule } of RESERVED)
      if (what.test(source) && !where.test(file)) wrong.push(`${file}: ${rule}`);
  }
  assert.deepEqual(wrong, []);
});
