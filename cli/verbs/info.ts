/** `layerctl info`: what this host and store can do. */

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { type StoreLayout, storeLayout } from "../../layers/layout.ts";
import { formatPlatform, hostPlatform } from "../../layers/oci/platform.ts";
import packageJson from "../../package.json" with { type: "json" };
import { isErrno, isSystemError } from "../../src/errors.ts";
import { probeBridge } from "../../src/exec/network/probe.ts";
import { type HostReport, probeHost } from "../../src/mount/probe.ts";
import { probeFuse } from "../../src/mount/probe-fuse.ts";
import { bytesOf, display, type HostPath, hostPath } from "../../src/paths.ts";
import type { Context } from "../context.ts";
import { pathFields, printDocument, printLines, tableLines } from "../output.ts";

const AS_OWNER = "run as its owner, or choose one that is yours with --root";

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
Everything is tried, in the store's file system (or, while there is no store that can be written, in the directory for
temporary files), and what was tried is removed again. What does not work says why, and what to do about it. Makes no store.

Examples:
  $ layerctl info
  $ layerctl info --json --root /srv/layers`,
  );
}

export async function run(context: Context): Promise<void> {
  const layout = storeLayout(context.root);
  const existence = existenceOf(layout);
  const exists = existence !== "none";
  const checks = await (exists ? probeStore(layout) : probeElsewhere());
  const head = { version: packageJson.version, node: process.versions.node, platform: formatPlatform(hostPlatform()) };
  if (context.json) {
    printDocument({ ...head, store: { ...pathFields("path", layout.root), exists: existence === "there" }, checks });
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

/** "unknown" if this user may not look. */
function existenceOf({ database }: StoreLayout): "there" | "none" | "unknown" {
  try {
    statSync(bytesOf(database));
    return "there";
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return "none";
    if (isSystemError(error)) return "unknown";
    throw error;
  }
}

/** In the store's file system, or elsewhere if nothing can be written there. */
async function probeStore({ root, temporary }: StoreLayout): Promise<HostReport> {
  try {
    return [{ name: "store", works: true, detail: "can be written" }, ...(await probe(temporary))];
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const advice = error.code === "EROFS" ? "choose another one with --root to import and mount" : AS_OWNER;
    const detail = `"${display(root)}" cannot be written: ${error.code}`;
    return [{ name: "store", works: false, detail, advice }, ...(await probeElsewhere())];
  }
}

async function probe(directory: HostPath): Promise<HostReport> {
  return [...probeHost(directory), ...(await probeFuse(directory)), await probeBridge()];
}

async function probeElsewhere(): Promise<HostReport> {
  try {
    const directory = mkdtempSync(join(tmpdir(), "layerctl-info-"));
    try {
      return await probe(hostPath(directory));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const detail = `"${tmpdir()}" cannot be written: ${error.code}`;
    return [
      { name: "temporary files", works: false, detail, advice: "set TMPDIR to a directory where more can be tried" },
    ];
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
