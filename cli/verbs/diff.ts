/** `layerctl diff NAME|REF [NAME|REF]`: what changed. */

import type { Command } from "commander";
import type { Change, LayerDiff } from "../../layers/diff/change.ts";
import { diffBelow, diffSubjects, findSubject } from "../../layers/diff/subject.ts";
import type { Context } from "../context.ts";
import { changeDocument, countChanges } from "../documents.ts";
import { formatSize, jsonBesideStream, printDocument, printLines, tableLines, treePath } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly stat?: boolean;
  readonly tar?: string;
}

export function define(command: Command): void {
  command
    .argument("<name|ref>", "a snapshot, an image or a layer, looked for in this order")
    .argument("[name|ref]", "compare with this one: what turns the first into it")
    .option("--stat", "only counts and bytes")
    .option("--tar <file>", 'write the change as an OCI layer tar; "-" for standard output')
    .addHelpText(
      "after",
      `
With one argument: what a snapshot changed in its image, or what the topmost layer of an image changed in those below.
Prints "A PATH" for what was added, "C PATH" for what changed, "D PATH" for what was deleted, sorted by the bytes of the
paths. What was touched but is the same in content and metadata is no change. Layers are named by their diffID, chainID or
digest, or the first 12 digits of one.

Examples:
  $ layerctl diff work
  $ layerctl diff debian:12 debian:mine --stat
  $ layerctl diff work --json
  $ layerctl diff work --tar layer.tar`,
    );
}

export async function run(
  context: Context,
  first: string,
  second: string | undefined,
  { stat = false, tar }: Options,
): Promise<void> {
  if (context.json && tar === "-") throw jsonBesideStream();
  using store = openStore(context);
  const { signal } = context;
  const subject = await findSubject(store, first, { signal });
  const detail = context.json;
  const other = second === undefined ? undefined : await findSubject(store, second, { signal });
  const diff = context.cancellation.endOnSignal(() =>
    other === undefined ? diffBelow(subject, { detail }) : diffSubjects(subject, other, { detail }),
  );
  context.reportSkipped(diff.skipped);
  if (tar !== undefined) await writeTar(diff, tar, signal);
  if (context.json) printDocument(documentOf(diff, stat));
  else if (tar === undefined) printLines(stat ? statLines(diff.changes) : lines(diff.changes));
}

async function writeTar(diff: LayerDiff, destination: string, signal: AbortSignal): Promise<void> {
  const { TarOutput } = await import("../tar-output.ts"); // a plain listing need not wait for them
  const { writeLayerTar } = await import("../../layers/diff/layer-tar.ts");
  const { sourceDateNs } = await import("../../layers/source-date.ts");
  using output = new TarOutput(destination);
  const epochNs = sourceDateNs();
  await writeLayerTar(diff, output, { signal, ...(epochNs !== null && { epochNs }) });
  output.finish();
}

function documentOf(diff: LayerDiff, isStat: boolean): object {
  const stat = countChanges(diff.changes);
  return isStat ? { stat } : { changes: diff.changes.map(changeDocument), stat };
}

function* lines(changes: readonly Change[]): Iterable<string> {
  for (const { kind, path } of changes) yield `${kind} ${treePath(path)}`;
}

function statLines(changes: readonly Change[]): readonly string[] {
  const { added, changed, deleted } = countChanges(changes);
  const rows = [
    ["added", String(added.count), formatSize(added.bytes)],
    ["changed", String(changed.count), formatSize(changed.bytes)],
    ["deleted", String(deleted.count), "-"],
  ];
  return tableLines(["CHANGE", "PATHS", "SIZE"], rows, ["left", "right", "right"]);
}
