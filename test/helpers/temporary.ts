/** A directory of its own for a test, removed at its end. */

import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HostPath, hostPath, joinHost } from "../../src/paths.ts";

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
  /** The path of `names` below it, as a host path. */
  host(...names: readonly string[]): HostPath;
}

/** `await using directory = temporaryDirectory();` Anything still mounted below it is a failure of the test. */
export function temporaryDirectory(parent = tmpdir()): TemporaryDirectory {
  const path = mkdtempSync(join(parent, "layerctl-test-"));
  return {
    path,
    host: (...names) => joinHost(hostPath(path), ...names),
    async [Symbol.asyncDispose]() {
      execFileSync("rm", ["-rf", "--one-file-system", path]); // node's rm cannot remove names that are not UTF-8
    },
  };
}
