import assert from "node:assert/strict";
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { findChanged } from "../../../../layers/diff/consistency.ts";
import { AT_FDCWD } from "../../../../src/sys/file.ts";
import { statAt } from "../../../../src/sys/stat.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

test("a file below a directory that turned into a symbolic link to it is not as it was", async () => {
  await using temporary = temporaryDirectory();
  mkdirSync(temporary.host("directory"));
  const hostPath = temporary.host("directory", "file");
  writeFileSync(hostPath, "1");
  const seen = [{ hostPath, stat: statAt(AT_FDCWD, hostPath) }];
  assert.equal(findChanged(seen, new Set()), null);
  renameSync(temporary.host("directory"), temporary.host("moved"));
  symlinkSync("moved", temporary.host("directory"));
  assert.equal(findChanged(seen, new Set()), hostPath);
});
