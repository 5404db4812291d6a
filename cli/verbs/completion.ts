/** `layerctl completion SHELL`: a script, or the names that it offers. */

import { Argument, type Command } from "commander";
import { listImages } from "../../layers/images.ts";
import { familiar } from "../../layers/resolve-image.ts";
import { listSnapshots } from "../../layers/snapshots/snapshots.ts";
import { NotFoundError } from "../../src/errors.ts";
import { completionScript, SHELLS, type Shell } from "../completion.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines, STDOUT, write } from "../output.ts";
import { completeProgram } from "../program.ts";
import { openStore } from "../store.ts";

const NAMES = ["references", "snapshots"] as const;
type Names = (typeof NAMES)[number];

export function define(command: Command): void {
  const what = new Argument("<shell>", "which script; references and snapshots are what the scripts ask for");
  command.addArgument(what.choices([...SHELLS, ...NAMES])).addHelpText(
    "after",
    `
Completes commands, options, image names and snapshot names.

Examples:
  $ layerctl completion bash > /etc/bash_completion.d/layerctl
  $ layerctl completion zsh > /usr/local/share/zsh/site-functions/_layerctl
  $ layerctl completion fish > ~/.config/fish/completions/layerctl.fish`,
  );
}

export async function run(context: Context, what: Shell | Names): Promise<void> {
  if (what === "references" || what === "snapshots") {
    const names = namesOf(context, what);
    if (context.json) printDocument({ names });
    else printLines(names);
    return;
  }
  const script = completionScript(what, await completeProgram());
  if (context.json) printDocument({ shell: what, script });
  else write(STDOUT, script);
}

/** None without a store: asking for names makes none. */
function namesOf(context: Context, what: Names): readonly string[] {
  try {
    using store = openStore(context);
    if (what === "snapshots") return listSnapshots(store).map((snapshot) => snapshot.name);
    return listImages(store).flatMap((image) => image.references.map(familiar));
  } catch (error) {
    if (error instanceof NotFoundError) return [];
    throw error;
  }
}
