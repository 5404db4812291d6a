/** `layerctl logs NAME`: what a detached container printed. */

import { closeSync, openSync, readSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { logPath } from "../../layers/containers/detached.ts";
import { findContainer, isHeld } from "../../layers/containers/held.ts";
import { isErrno } from "../../src/errors.ts";
import type { Context } from "../context.ts";
import { STDOUT, writeBytes } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly follow?: boolean;
}

const PIECE_BYTES = 64 * 1024;
const TURN_MS = 50;

export function define(command: Command): void {
  command
    .argument("<name>", "a container")
    .option("-f, --follow", "go on until it ends")
    .addHelpText(
      "after",
      `
Prints what the command wrote to its standard output and its standard error, in the order in which it did, since the
container was first started with -d.

Examples:
  $ layerctl logs web
  $ layerctl logs -f web`,
    );
}

export async function run(context: Context, name: string, { follow = false }: Options): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  const { id } = findContainer(store, name);
  const fd = openLog(logPath(store, id));
  if (fd === null) return; // it was never detached
  try {
    for (;;) {
      const isOver = !follow || !isHeld(store, id); // before the rest is read, which is then all
      copyRest(fd);
      if (isOver) return;
      await sleep(TURN_MS, undefined, { signal: context.signal });
    }
  } finally {
    closeSync(fd);
  }
}

function openLog(path: Buffer): number | null {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}

function copyRest(fd: number): void {
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  for (let size = readSync(fd, buffer); size > 0; size = readSync(fd, buffer))
    writeBytes(STDOUT, buffer.subarray(0, size));
}
