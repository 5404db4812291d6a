/** What is published: `npm run package` packs it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { LAYERCTL } from "../helpers/layerctl.ts";

test("the package has the wrapper, what it runs, and the documentation, and nothing else", () => {
  const cwd = join(dirname(LAYERCTL), "..");
  const { stdout, stderr } = spawnSync("npm", ["pack", "--dry-run", "--json"], { cwd, encoding: "utf8" });
  const [packed] = JSON.parse(stdout || `"${stderr}"`) as { files: { path: string; mode: number }[] }[];
  const files = new Map(packed?.files.map(({ path, mode }) => [path, mode]));
  files.delete("dist/library.d.ts"); // which "npm run package" makes, and "npm run build" does not
  assert.deepEqual([...files.keys()].sort(), [
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "bin/layerctl",
    "bin/layerctl-fuse",
    "dist/apply-worker.cjs",
    "dist/cli.cjs",
    "dist/code-keeper.cjs",
    "dist/fill-worker.cjs",
    "dist/fuse-copy.cjs",
    "dist/fuse-server.cjs",
    "dist/fuse-thread.cjs",
    "dist/fuse-unmount.cjs",
    "dist/joiner.cjs",
    "dist/library.cjs",
    "dist/main.cjs",
    "dist/monitor-program.cjs",
    "dist/monitor.cjs",
    "dist/slow-worker.cjs",
    "dist/verb-commit.cjs",
    "dist/verb-diff.cjs",
    "dist/verb-exec.cjs",
    "dist/verb-mount.cjs",
    "dist/verb-run.cjs",
    "dist/verb-umount.cjs",
    "docs/architecture.md",
    "docs/commands.md",
    "docs/conformance.md",
    "docs/containerd.md",
    "docs/formats.md",
    "docs/fuse-native.md",
    "docs/fuse-performance.md",
    "docs/library.api.md",
    "docs/library.md",
    "docs/union-semantics.md",
    "package.json",
    "share/systemd/layerctl-containerd.service",
    "share/systemd/layerctl-containerd.socket",
  ]);
  for (const name of ["bin/layerctl", "bin/layerctl-fuse"]) assert.equal((files.get(name) ?? 0) & 0o111, 0o111);
});
