import assert from "node:assert/strict";
import { lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TarOutput } from "../../../cli/tar-output.ts";
import { temporaryDirectory } from "../../helpers/temporary.ts";

async function write(path: string, text: string): Promise<void> {
  using output = new TarOutput(path);
  await output.write(Buffer.from(text));
  output.finish();
}

test("a file that is replaced keeps its mode, and a symbolic link to it stays one", async () => {
  await using directory = temporaryDirectory();
  const [file, link] = [join(directory.path, "file"), join(directory.path, "link")];
  writeFileSync(file, "old", { mode: 0o600 });
  symlinkSync("file", link);
  await write(link, "new");
  assert.equal(readFileSync(file, "utf8"), "new");
  assert.equal(lstatSync(file).mode & 0o777, 0o600);
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.deepEqual(readdirSync(directory.path).sort(), ["file", "link"]);
});

test("what is not finished leaves the file as it was", async () => {
  await using directory = temporaryDirectory();
  const file = join(directory.path, "file");
  writeFileSync(file, "old");
  {
    using output = new TarOutput(file);
    await output.write(Buffer.from("new"));
  }
  assert.equal(readFileSync(file, "utf8"), "old");
  assert.deepEqual(readdirSync(directory.path), ["file"]);
});
