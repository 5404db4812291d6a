/** `layerctl completion SHELL`. */

import { Argument, type Command } from "commander";
import { completionScript, SHELLS, type Shell } from "../completion.ts";
import type { Context } from "../context.ts";
import { printDocument, STDOUT, write } from "../output.ts";
import { completeProgram } from "../program.ts";

export function define(command: Command): void {
  command.addArgument(new Argument("<shell>", "which shell").choices(SHELLS)).addHelpText(
    "after",
    `
Completes commands, options, image names and snapshot names.

Examples:
  $ layerctl completion bash > /etc/bash_completion.d/layerctl
  $ layerctl completion zsh > /usr/local/share/zsh/site-functions/_layerctl
  $ layerctl completion fish > ~/.config/fish/completions/layerctl.fish`,
  );
}

export async function run(context: Context, shell: Shell): Promise<void> {
  const script = completionScript(shell, await completeProgram());
  if (context.json) printDocument({ shell, script });
  else write(STDOUT, script);
}
