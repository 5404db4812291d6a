/** docs/library.md is tried: its examples are compiled against the types of the package, and run one after the other. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { libraryTypes } from "../../scripts/library-types.ts";
import { archiveOf, ociFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { directory, file, tar } from "../helpers/tar-builder.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

const PROJECT = join(dirname(LAYERCTL), "..");
const PAGE = readFileSync(join(PROJECT, "docs/library.md"), "utf8");
const EXAMPLES = [...PAGE.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code = ""]) => code);
const DIGEST = "sha256:[0-9a-f]{64}";

/** What each example prints. */
const PRINTED = [
  new RegExp(`^docker\\.io/library/debian:12 ${DIGEST}\n$`),
  new RegExp(`^${/^prints\n\n```\n([\s\S]*?)^```/m.exec(PAGE)?.[1]}$`),
  new RegExp(`^${DIGEST} ${DIGEST}\n$`),
  /^true 0\n$/,
  /^ERR_NAME_NOT_FOUND Cannot find "debian:13": .*\nAbortError\n$/,
  /^40755 \/etc\n100644 \/etc\/motd\n$/,
];

test("the examples of docs/library.md do what it says", { skip: requires("root", "overlay") }, async () => {
  await using store = temporaryStore();
  mkdirSync(join(store.path, "node_modules"));
  symlinkSync(PROJECT, join(store.path, "node_modules/layerctl"));
  const layer = tar(directory("etc/"), file("etc/hostname", "debian\n"), file("etc/motd", "welcome\n"));
  const image = archiveOf(ociFiles([{ layers: [layer], reference: "docker.io/library/debian:12" }]));
  writeFileSync(join(store.path, "debian.tar"), image);
  assert.equal(EXAMPLES.length, PRINTED.length);
  for (const [index, code] of EXAMPLES.entries()) {
    writeFileSync(join(store.path, "example.mts"), code);
    const options = { cwd: store.path, encoding: "utf8" } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, ["example.mts"], options);
    assert.equal(status, 0, `${code}\n${stderr}`);
    assert.match(stdout, PRINTED[index] ?? /never/, code);
  }
});

test("the library's types are what docs/library.api.md lists, and its examples fit them", async () => {
  const { declarations, report } = libraryTypes();
  assert.equal(report, readFileSync(join(PROJECT, "docs/library.api.md"), "utf8"), "run: npm run api");
  await using work = temporaryDirectory();
  const types = join(work.path, "node_modules/layerctl");
  mkdirSync(types, { recursive: true });
  writeFileSync(join(types, "package.json"), '{"name":"layerctl","type":"module","types":"library.d.ts"}');
  writeFileSync(join(types, "library.d.ts"), declarations);
  const files = EXAMPLES.map((code, index) => {
    const path = join(work.path, `example-${index}.mts`);
    writeFileSync(path, code);
    return path;
  });
  symlinkSync(join(PROJECT, "node_modules/@types"), join(work.path, "node_modules/@types"));
  const options = ["--noEmit", "--strict", "--target", "esnext", "--module", "nodenext", "--types", "node"];
  const tsc = join(PROJECT, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...options, ...files], {
    cwd: work.path,
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout);
});
