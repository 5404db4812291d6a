/** `layerctl info`: what this host and store can do. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { storeLayout } from "../../layers/layout.ts";
import { formatPlatform, hostPlatform } from "../../layers/oci/platform.ts";
import packageJson from "../../package.json" with { type: "json" };
import { type HostReport, probeHost } from "../../src/mount/probe.ts";
import { bytesOf, display, hostPath } from "../../src/paths.ts";
import type { Context } from "../context.ts";
import { pathFields, printDocument, printLines, tableLines } from "../output.ts";

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
Everything is tried, in the store's file system (or, while there is no store, in the directory for temporary files), and
what was tried is removed again. What does not work says why, and what to do about it. Makes no store.

Examples:
  $ layerctl info
  $ layerctl info --json --root /srv/layers`,
  );
}

export function run(context: Context): void {
  const layout = storeLayout(context.root);
  const exists = existsSync(bytesOf(layout.database));
  const checks = exists ? probeHost(layout.temporary) : probeElsewhere();
  const head = { version: packageJson.version, node: process.versions.node, platform: formatPlatform(hostPlatform()) };
  if (context.json) {
    printDocument({ ...head, store: { ...pathFields("path", layout.root), exists }, checks });
    return;
  }
  const { version, node, platform } = head;
  printLines([
    `layerctl ${version}, Node.js ${node}, ${platform}`,
    `store ${display(layout.root)}${exists ? "" : " (none yet: the first import makes it)"}`,
    "",
    ...reportLines(checks),
  ]);
}

function probeElsewhere(): HostReport {
  const directory = mkdtempSync(join(tmpdir(), "layerctl-info-"));
  try {
    return probeHost(hostPath(directory));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function reportLines(checks: HostReport): readonly string[] {
  const rows = checks.map(({ name, works, detail, advice }) => [
    works ? "yes" : "no",
    name,
    advice === undefined ? detail : `${detail}; ${advice}`,
  ]);
  return tableLines(["WORKS", "WHAT", "DETAIL"], rows);
}
