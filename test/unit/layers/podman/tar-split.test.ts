import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Crc64 } from "../../../../layers/podman/crc64.ts";
import { TarSplitter } from "../../../../layers/podman/tar-split.ts";
import { hostPath } from "../../../../src/paths.ts";
import { directory, file, tar } from "../../../helpers/tar-builder.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

interface Line {
  readonly type: 1 | 2;
  readonly name?: string;
  readonly name_raw?: string;
  readonly size?: number;
  readonly payload: string;
  readonly position: number;
}

/** Splits `archive`, given in pieces of `pieceBytes`. */
function split(archive: Buffer, tree: string, pieceBytes: number): readonly Line[] {
  const splitter = new TarSplitter(hostPath(tree));
  let text = "";
  for (let at = 0; at < archive.length; at += pieceBytes) text += splitter.push(archive.subarray(at, at + pieceBytes));
  text += splitter.finish();
  assert.equal(splitter.sizeBytes, archive.length);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

/** As containers/storage does it: pieces as they are, contents from the tree, checked. */
function assemble(lines: readonly Line[], tree: string): Buffer {
  return Buffer.concat(
    lines.map(({ type, name, name_raw, size, payload, position }, index) => {
      assert.equal(position, index);
      if (type === 2) return Buffer.from(payload, "base64");
      const path = name === undefined ? Buffer.from(name_raw ?? "", "base64") : Buffer.from(name);
      const content = readFileSync(Buffer.concat([Buffer.from(`${tree}/`), path]));
      const crc = new Crc64();
      crc.update(content);
      assert.equal(crc.digest().toString("base64"), payload);
      assert.equal(content.length, size);
      return content;
    }),
  );
}

test("the checksum is that of ISO 3309, in whatever pieces", () => {
  const crc = new Crc64();
  for (const piece of ["12345", "", "6789"]) crc.update(Buffer.from(piece));
  assert.equal(crc.digest().toString("hex"), "b90956c775a41001");
  assert.equal(new Crc64().digest().toString("hex"), "0000000000000000");
});

test("a tar that was split is put together again, byte for byte, in pieces of any size", async () => {
  await using place = temporaryDirectory();
  const large = Buffer.alloc(3000, "large ").toString();
  mkdirSync(join(place.path, "etc"));
  writeFileSync(join(place.path, "etc/motd"), "welcome\n");
  writeFileSync(join(place.path, "etc/large"), large);
  writeFileSync(Buffer.concat([Buffer.from(`${place.path}/`), Buffer.from("od\xffd", "latin1")]), "odd");
  const archive = tar(
    directory("etc/"),
    file("etc/motd", "welcome\n"),
    file("etc/empty", ""),
    file("./etc/large", large),
    file("od\xffd", "odd"),
  );
  for (const pieceBytes of [1, 100, 511, 513, archive.length]) {
    const lines = split(archive, place.path, pieceBytes);
    assert.equal(lines.filter(({ type }) => type === 1).length, 3);
    assert.deepEqual(assemble(lines, place.path), archive);
  }
});

test("the content of a file that the tree has not, or has behind a link, is kept in the pieces", async () => {
  await using place = temporaryDirectory();
  mkdirSync(join(place.path, "real"));
  writeFileSync(join(place.path, "real/x"), "through");
  symlinkSync("real", join(place.path, "link"));
  const archive = tar(file("link/x", "through"), file("whited-out", "gone"));
  const lines = split(archive, place.path, 512);
  assert.deepEqual(
    lines.filter(({ type }) => type === 1),
    [],
  );
  assert.deepEqual(assemble(lines, place.path), archive);
});
