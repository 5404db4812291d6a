/** The documentation is tried: console examples are run in order, and the help in docs/commands.md is the real one. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { withHelp } from "../../scripts/command-help.ts";
import { archiveOf, ociFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { directory, file, tar } from "../helpers/tar-builder.ts";

const PROJECT = join(dirname(LAYERCTL), "..");

interface Example {
  readonly command: string;
  /** "…" stands for anything in a line, and for any lines where it is a line. */
  readonly expected: readonly string[];
}

/** The commands of all ```console blocks of a page, in order. */
function examplesOf(page: string): readonly Example[] {
  const examples: { command: string; expected: string[] }[] = [];
  for (const [, block = ""] of page.matchAll(/^```console\n([\s\S]*?)^```/gm)) {
    for (const line of block.trimEnd().split("\n")) {
      if (line.startsWith("$ ")) examples.push({ command: line.slice(2), expected: [] });
      else examples.at(-1)?.expected.push(line);
    }
  }
  return examples;
}

const MARK = "\u0001";

/** Runs the commands in one shell, and returns what each printed and its exit code. */
function runAll(examples: readonly Example[], cwd: string, root: string): readonly string[] {
  const script = examples.map(({ command }) => `${command}\nprintf '${MARK}%s${MARK}' $?\n`).join("");
  const { stdout } = spawnSync("sh", ["-c", `exec 2>&1\n${script}`], {
    cwd,
    encoding: "utf8",
    env: { PATH: `${dirname(LAYERCTL)}:${process.env.PATH}`, LAYERCTL_ROOT: root, LC_ALL: "C.UTF-8" },
  });
  return stdout.split(MARK);
}

function pattern(expected: readonly string[]): RegExp {
  const lines = expected.map((line) =>
    line === "…"
      ? "[\\s\\S]*"
      : line
          .split("…")
          .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&").replace(/ +/g, " +"))
          .join(".*"),
  );
  return new RegExp(`^${lines.join("\n")}\n?$`);
}

test("the examples of the README print what it says", { skip: requires("root", "overlay") }, async () => {
  await using store = temporaryStore();
  const layer = tar(directory("etc/"), file("etc/debian_version", "12.0\n"), file("etc/motd", "welcome\n"));
  const image = archiveOf(ociFiles([{ layers: [layer], reference: "docker.io/library/debian:12" }]));
  writeFileSync(join(store.path, "debian.tar"), image);
  const examples = examplesOf(readFileSync(join(PROJECT, "README.md"), "utf8"));
  assert.ok(examples.length >= 12, "the README has examples");
  const results = runAll(examples, store.path, store.root);
  for (const [index, { command, expected }] of examples.entries()) {
    const [output = "", status] = results.slice(2 * index, 2 * index + 2);
    assert.equal(status, "0", `${command}\n${output}`);
    assert.match(output, pattern(expected), command);
  }
});

test("docs/commands.md has the help of every command as it is", async () => {
  const page = readFileSync(join(PROJECT, "docs", "commands.md"), "utf8");
  assert.equal(page, await withHelp(page), "run: node scripts/command-help.ts");
});
