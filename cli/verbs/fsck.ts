/** `layerctl fsck`: is the store what it says it is? */

import type { Command } from "commander";
import { checkStore, type Finding } from "../../layers/fsck.ts";
import { IntegrityError } from "../../src/errors.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly deep?: boolean;
  readonly repair?: boolean;
}

export function define(command: Command): void {
  command
    .option("--deep", "compare every unpacked file too, with its digest recorded at import and, as root, with its blob")
    .option("--repair", "take away what is damaged: layers are unpacked again, blobs come back with the next import")
    .addHelpText(
      "after",
      `
Compares the database with the files, and every blob with its digest. Prints a line for each finding and a summary. Exit
code 5 if something is damaged and not repaired; garbage, which "layerctl gc" removes, is no damage. With --deep the files
of each layer are hashed, and it is unpacked once more beside, which takes its space meanwhile, to compare everything else:
modes, owners, times, attributes, links, devices, directories.

Examples:
  $ layerctl fsck
  $ layerctl fsck --deep --repair`,
    );
}

export async function run(context: Context, { deep = false, repair = false }: Options): Promise<void> {
  using store = openStore(context);
  using progress = context.openProgress();
  const { findings, isSound, checked } = await checkStore(store, {
    deep,
    repair,
    signal: context.signal,
    onWait: () => context.sayWaiting(),
    onProgress: ({ doneBytes, totalBytes }) =>
      progress.show({ label: "checking", done: doneBytes, total: totalBytes, unit: "bytes" }),
  });
  progress.clear();
  if (context.json) printDocument({ sound: isSound, checked, findings });
  else {
    const { blobs, layers, images, snapshots } = checked;
    const counts = `${blobs} blobs, ${layers} layers, ${images} images, ${snapshots} snapshots`;
    printLines([...findings.map(lineOf), `checked ${counts}: ${isSound ? "sound" : "damaged"}`]);
  }
  if (isSound) return;
  const damage = findings.filter((finding) => finding.severity === "error" && !finding.repaired).length;
  const message = `Cannot vouch for the store: ${damage} ${damage === 1 ? "finding is" : "findings are"} not repaired`;
  throw new IntegrityError("ERR_STORE_DAMAGED", message, { data: { damage } });
}

function lineOf({ kind, severity, subject, message, advice, repaired }: Finding): string {
  return `${repaired ? "repaired" : severity} ${kind} ${subject}: ${message}; ${advice}`;
}
