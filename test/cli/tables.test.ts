/** Tables for people: what images say of themselves reaches them in one form, and does no harm. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { temporaryStore } from "../helpers/layerctl.ts";
import { file, tar } from "../helpers/tar-builder.ts";

test("history shows times in UTC, wide characters in line, and no control characters", async () => {
  await using store = temporaryStore();
  const history = [
    { created: "2023-11-14T22:13:20+09:00", created_by: "漢字", comment: "one" },
    { created: null, created_by: "\u001b[31mred\nline", comment: "two" },
  ];
  const image = ociFiles([{ layers: [tar(file("a")), tar(file("b"))], config: (config) => ({ ...config, history }) }]);
  store.ok("import", writeFiles(join(store.path, "image"), image), "--name", "here:1");
  const [, newest = "", oldest = ""] = store.ok("history", "here:1").split("\n");
  assert.match(newest, /^[0-9a-f]{12} {2}- {20}.*B {2}\\x1b\[31mred line {2}two$/);
  assert.match(oldest, /^[0-9a-f]{12} {2}2023-11-14 13:13:20 .*B {2}漢字 {14}one$/);
});
