/** What the tests of image sources share: opening one in a directory of its own, and how it is refused. */

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type OpenOptions, openSource } from "../../../../layers/formats/open-source.ts";
import type { ImageSource } from "../../../../layers/formats/source.ts";
import { LayerctlError } from "../../../../src/errors.ts";
import { hostPath } from "../../../../src/paths.ts";
import { archiveOf, type Files, writeFiles } from "../../../helpers/image-builder.ts";
import type { TemporaryDirectory } from "../../../helpers/temporary.ts";

/** Writes a source to `name` in `directory`: files as an archive, or as a directory if `name` ends with "/". */
export function put(directory: TemporaryDirectory, name: string, source: Files | Buffer): string {
  const path = join(directory.path, name);
  if (Buffer.isBuffer(source)) writeFileSync(path, source);
  else if (name.endsWith("/")) writeFiles(path, source);
  else writeFileSync(path, archiveOf(source));
  return path;
}

/** Opens a source, spooling into `spool` below `directory`. */
export async function open(
  directory: TemporaryDirectory,
  source: string,
  options: Partial<OpenOptions> = {},
): Promise<ImageSource> {
  mkdirSync(join(directory.path, "spool"), { recursive: true });
  return await openSource(source, { temporary: hostPath(join(directory.path, "spool")), ...options });
}

/** What lies in the spool directory. */
export function spooled(directory: TemporaryDirectory): readonly string[] {
  return readdirSync(join(directory.path, "spool"));
}

/** Asserts that opening is refused with this code, and leaves nothing spooled. */
export async function assertRefused(
  directory: TemporaryDirectory,
  source: string,
  options: Partial<OpenOptions>,
  code: string,
  message: RegExp,
): Promise<void> {
  await assert.rejects(open(directory, source, options), (error) => {
    assert.ok(error instanceof LayerctlError && error.code === code, String(error));
    assert.match(error.message, message);
    return true;
  });
  assert.deepEqual(spooled(directory), []);
}
