/** Writes the --help of every command into docs/commands.md, between the marks that are there for it. */

import { readFileSync, writeFileSync } from "node:fs";
import { commandHelp } from "../cli/program.ts";

const PAGE = new URL("../docs/commands.md", import.meta.url);

/** `page` with the help of every command as it is now. */
export async function withHelp(page: string): Promise<string> {
  let text = page;
  for (const [name, help] of await commandHelp()) {
    const block = new RegExp(`(<!-- help ${name} -->\n\`\`\`text\n)[\\s\\S]*?(\n\`\`\`)`);
    if (!block.test(text)) throw new Error(`docs/commands.md has no place for the help of ${name}`);
    text = text.replace(block, (_, before: string, after: string) => before + help.trimEnd() + after);
  }
  return text;
}

if (import.meta.main) writeFileSync(PAGE, await withHelp(readFileSync(PAGE, "utf8")));
