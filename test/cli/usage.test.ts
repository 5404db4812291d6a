/** Options, help, exit codes and signals: what every command has in common. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { VERBS } from "../../cli/verbs.ts";
import { LAYERCTL, runLayerctl, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";

test("every command has help with its usage, the global options and an example", () => {
  for (const { name, summary } of VERBS) {
    const { exitCode, stdout, stderr } = runLayerctl([name, "--help"]);
    const help = stdout.toString();
    assert.equal(exitCode, 0, `${name}: ${stderr}`);
    assert.match(help, new RegExp(`^Usage: layerctl ${name} `), name);
    assert.ok(help.includes(summary), name);
    for (const option of ["--root <dir>", "--json", "--quiet", "--debug"]) assert.ok(help.includes(option), name);
    assert.match(help, new RegExp(`\\nExamples:\\n(?:  .*\\n)*?  \\$ .*layerctl ${name}`), name);
  }
});

test("the help lists every command, also with a command after it", () => {
  for (const args of [["--help"], ["-h", "mount"]]) {
    const help = runLayerctl(args).stdout.toString();
    for (const { name } of VERBS) assert.match(help, new RegExp(`\\n  ${name} +\\S`), name);
  }
});

test("no command, an unknown one and a wrong option are usage errors that help on", () => {
  for (const [args, said] of [
    [["mont", "debian"], `Cannot run "layerctl": unknown command 'mont'; did you mean mount?`],
    [["images", "--jsn"], `Cannot run "images": unknown option '--jsn'; did you mean --json?`],
    [["tag", "one"], `Cannot run "tag": missing required argument 'newref'`],
    [
      ["images", "a", "b"],
      `Cannot run "images": too many arguments for 'images'; Expected 0 arguments but got 2: a, b`,
    ],
    [["--root"], `Cannot run "layerctl": option '--root <dir>' argument missing`],
    [["save", "x"], `Cannot run "save": required option '-o, --output <file|dir>' not specified`],
    [
      ["save", "x", "-o", "y", "--format", "zip"],
      `Cannot run "save": option '--format <format>' argument 'zip' is invalid; Allowed choices are oci-archive, oci-layout, docker-archive`,
    ],
  ] as const) {
    const { exitCode, stdout, stderr } = runLayerctl(args);
    const verb = VERBS.find(({ name }) => name === args[0]);
    const next = `  Next: see "layerctl ${verb === undefined ? "" : `${verb.name} `}--help"\n`;
    assert.equal(exitCode, 2, args.join(" "));
    assert.equal(stdout.length, 0, args.join(" "));
    assert.equal(stderr, `layerctl: ${said} (ERR_USAGE)\n${next}`);
  }
});

test("no command is an error that shows the help, and with --json one document", () => {
  const text = runLayerctl([]);
  assert.equal(text.exitCode, 2);
  assert.match(text.stderr, /^Usage: layerctl [\s\S]*\nlayerctl: Cannot run "layerctl": no command is given/);
  const { stdout, stderr } = runLayerctl(["--json"]);
  assert.equal(stdout.length, 0);
  assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, "ERR_USAGE");
});

test("help COMMAND is COMMAND --help", async () => {
  for (const [asked, same] of [
    [["help"], ["--help"]],
    [
      ["help", "mount"],
      ["mount", "--help"],
    ],
    [
      ["--root", "help", "help", "commit"],
      ["commit", "-h"],
    ],
  ] as const) {
    const { exitCode, stdout } = runLayerctl(asked);
    assert.equal(exitCode, 0);
    assert.equal(stdout.toString(), runLayerctl(same).stdout.toString(), asked.join(" "));
  }
  assert.match(runLayerctl(["help", "mont"]).stderr, /unknown command 'mont'; did you mean mount/);
});

test("what the host refuses says what was tried, on what, and why", async () => {
  await using store = temporaryStore();
  const path = join(store.path, "not a store");
  writeFileSync(path, "");
  const { exitCode, stderr } = runLayerctl(["--root", path, "images"]);
  assert.equal(exitCode, 7);
  assert.match(stderr, /^layerctl: Cannot stat ".*\/not a store\/.*": not a directory \(ENOTDIR\)\n$/);
});

test("a place where nothing can be written is refused before anything is", { skip: requires("root") }, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "layer.tar");
  writeFileSync(source, tar(file("f", "content")));
  store.ok("import", source, "--rootfs", "--name", "here:1");
  const nowhere = join(store.path, "nowhere", "x.tar");
  for (const [destination, exitCode, why] of [
    ["", 2, /Cannot (write|save to) "": it is no name/],
    [nowhere, 3, /Cannot write ".*nowhere\/x\.tar": there is no directory ".*nowhere\/" to make it in/],
    [store.path, 4, /Cannot (write ".*": it is a directory; name a file in it|save to ".*": it is neither empty nor)/],
  ] as const) {
    for (const args of [
      ["save", "here:1", "-o", destination],
      ["export", "here:1", "-o", destination],
      ["diff", "here:1", "--tar", destination],
    ]) {
      const outcome = store.run(args);
      assert.equal(outcome.exitCode, exitCode, `${args.join(" ")}: ${outcome.stderr}`);
      assert.match(outcome.stderr, why);
    }
  }
});

test("an export through a symbolic link replaces what it leads to, with its mode", {
  skip: requires("root"),
}, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "layer.tar");
  writeFileSync(source, tar(file("f", "content")));
  store.ok("import", source, "--rootfs", "--name", "here:1");
  const [real, link] = [join(store.path, "real"), join(store.path, "link")];
  writeFileSync(real, "before", { mode: 0o600 });
  symlinkSync("real", link);
  store.ok("export", "here:1", "-o", link);
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.equal(lstatSync(real).mode & 0o777, 0o600);
  assert.ok(lstatSync(real).size > 512);
});

test("global options work before and after the command", async () => {
  await using store = temporaryStore();
  for (const args of [
    ["--root", store.root, "--json", "images"],
    ["images", "--json", "--root", store.root],
    [`--root=${store.root}`, "images", "--json"],
  ]) {
    assert.deepEqual(JSON.parse(runLayerctl(args).stdout.toString()), { images: [] }, args.join(" "));
  }
});

test("LAYERCTL_ROOT names the store, and --root comes before it", async () => {
  await using store = temporaryStore();
  const env = { LAYERCTL_ROOT: store.root };
  const rootOf = (args: readonly string[]): unknown =>
    JSON.parse(runLayerctl(["info", "--json", ...args], { env }).stdout.toString()).store.path;
  assert.equal(rootOf([]), store.root);
  assert.equal(rootOf(["--root", `${store.root}/../other`]), `${store.root}/../other`);
});

test("errors have the exit code of their class, a code, and with --json a document on stderr", async () => {
  await using store = temporaryStore();
  store.make();
  const missing = store.run(["history", "nothing"]);
  assert.equal(missing.exitCode, 3);
  assert.match(
    missing.stderr,
    /^layerctl: Cannot find image "nothing": it is not in the store \(ERR_IMAGE_NOT_FOUND\)\n {2}Next: .*\n$/,
  );
  const document = JSON.parse(store.run(["history", "nothing", "--json"]).stderr) as { error: object };
  const said = { class: "NotFoundError", code: "ERR_IMAGE_NOT_FOUND", exitCode: 3, data: { text: "nothing" } };
  assert.deepEqual({ ...document.error, message: "", next: "" }, { ...said, message: "", next: "" });
  const usage = JSON.parse(store.run(["--json", "tag", "one"]).stderr) as { error: { code: string; exitCode: number } };
  assert.deepEqual([usage.error.code, usage.error.exitCode], ["ERR_USAGE", 2]);
  assert.equal(store.run(["import", "/dev/null/x"]).exitCode, 3);
});

test("a stack is printed with --debug only", async () => {
  await using store = temporaryStore();
  assert.doesNotMatch(store.run(["history", "nothing"]).stderr, /\n\s+at /);
  assert.match(store.run(["history", "nothing", "--debug"]).stderr, /\n\s+at /);
  const { error } = JSON.parse(store.run(["history", "nothing", "--debug", "--json"]).stderr) as {
    error: { stack: string };
  };
  assert.match(error.stack, /\n\s+at /);
});

test("a store that cannot be made is the host's refusal, with exit code 7", () => {
  const { exitCode, stderr } = runLayerctl(["--root", "/proc/layerctl", "import", "-"]); // where node's own recursive mkdir never ends;
  assert.equal(exitCode, 7, stderr);
});

test("a reader that goes away ends it quietly", () => {
  const script = `"$0" --help; "$0" --help | head -c 10 >/dev/null; exec 3>&1; { "$0" completion bash; echo $? >&3; } | true`;
  const { stdout, stderr } = spawnSync("/bin/bash", ["-c", script, LAYERCTL], { encoding: "utf8" });
  assert.equal(stderr, "");
  assert.match(stdout, /(^|\n)(0|141)\n$/);
});

test("a full disk below standard output is an error, and one below standard error changes no exit code", () => {
  const script = `for word in --version --help images; do "$0" --root "$1" $word >/dev/full; echo $?; done 2>/dev/null
    "$0" --root "$1" history nothing 2>/dev/full; echo $?
    "$0" --root "$1" mounts 2>/dev/full >/dev/null; echo $?`;
  const { stdout } = spawnSync("/bin/sh", ["-c", script, LAYERCTL, "/proc/nowhere"], { encoding: "utf8" });
  assert.equal(stdout, "7\n7\n7\n3\n0\n"); // the last two: there is no store
  assert.equal(spawnSync("/bin/sh", ["-c", `"$0" --version >/dev/full`, LAYERCTL]).status, 7);
});

test("what is printed while standard output is closed is an error, and what prints nothing is none", async () => {
  await using store = temporaryStore();
  store.make();
  const exitOf = (...args: string[]) => {
    const words = ["-c", 'exec "$0" "$@" >&-', LAYERCTL, "--root", store.root, ...args];
    const { status, stderr } = spawnSync("sh", words, { encoding: "utf8" });
    return [status, stderr.split("\n")[0]];
  };
  const refusal = 'layerctl: Cannot write "standard output": bad file descriptor (EBADF)';
  for (const args of [["images"], ["--help"], ["completion", "bash"]]) assert.deepEqual(exitOf(...args), [7, refusal]);
  assert.deepEqual(exitOf("rm", "nothing")[0], 3);
  assert.deepEqual(exitOf("completion", "snapshots"), [0, ""]);
});

test("a name that a snapshot or an image could have is looked for among both", { skip: requires("root") }, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "layer.tar");
  writeFileSync(source, tar(file("f", "content")));
  store.ok("import", source, "--rootfs", "--name", "here:1");
  store.mount("here:1", "--name", "Work");
  const list = '"layerctl images" and "layerctl mounts" list the images and snapshots there are';
  for (const args of [
    ["diff", "Wrok"],
    ["mount", "Wrok"],
    ["inspect", "Wrok"],
    ["export", "Wrok", "-o", "/dev/null"],
  ]) {
    const { exitCode, stderr } = store.run(args);
    const message = 'Cannot find "Wrok": nothing is called so; did you mean "Work"? (ERR_NAME_NOT_FOUND)';
    assert.deepEqual([exitCode, stderr], [3, `layerctl: ${message}\n  Next: ${list}\n`], args[0]);
  }
  assert.match(store.run(["diff", "heer"]).stderr, /did you mean "here:1"\?/);
});

test("an archive or tar whose reader goes away ends quietly with 141", { skip: requires("root") }, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "layer.tar");
  writeFileSync(source, tar(file("big", Buffer.alloc(4 * 2 ** 20, "x")))); // more than a pipe holds
  store.ok("import", source, "--rootfs", "--name", "here:1");
  for (const verb of ["save", "export"]) {
    const script = `exec 3>&1; { "$0" --root "$1" ${verb} here:1 -o -; echo $? >&3; } | head -c 10 >/dev/null`;
    const { stdout, stderr } = spawnSync("/bin/bash", ["-c", script, LAYERCTL, store.root], { encoding: "utf8" });
    assert.deepEqual([stdout, stderr], ["141\n", ""], verb);
  }
});

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  test(`${signal} during an import ends it with ${code} and leaves nothing unfinished`, async () => {
    await using store = temporaryStore();
    store.make();
    const child = spawn(LAYERCTL, ["--root", store.root, "import", "-"], { stdio: ["pipe", "ignore", "pipe"] });
    const isAtWork = (): boolean => {
      try {
        return readdirSync(join(store.root, "tmp")).length > 0;
      } catch {
        return false; // the store is not there yet
      }
    };
    for (let tries = 0; !isAtWork() && tries < 500; tries += 1) await sleep(10);
    child.kill(signal);
    const [exitCode] = (await once(child, "exit")) as [number | null];
    assert.equal(exitCode, code);
    assert.deepEqual(readdirSync(join(store.root, "tmp")), []);
  });
}

test("names that are not UTF-8 reach the file system as they are; as the root they are refused", {
  skip: requires("root"), // an export needs what was unpacked
}, async () => {
  await using store = temporaryStore();
  const script = `cd "$1" || exit 1
    name=$(printf 'a\\377b')
    "$0" --root "$name" images; echo $?
    LAYERCTL_ROOT="$name" "$0" images; echo $?
    mkdir "$name" && tar -cf "$name/tree.tar" "$name" 2>/dev/null
    "$0" --root store import "$name/tree.tar" --rootfs --name named:1 && "$0" --root store export named:1 -o "$name/out.tar" && ls "$name"`;
  const { stdout, stderr } = spawnSync("/bin/sh", ["-c", script, LAYERCTL, store.path], {
    encoding: "utf8",
    env: { PATH: process.env.PATH, LC_ALL: "C" },
  });
  assert.match(stderr, /^(layerctl: Cannot use ".*a\\xffb" as the root.*\n.*Next: .*\n){2}$/);
  assert.match(stdout, /^2\n2\nnamed:1 sha256:.*\nout\.tar\ntree\.tar\n$/);
});

test("what is printed into a file does not wait for the disk when the process ends", {
  skip: requires("root", "program:strace"),
}, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "layer.tar");
  writeFileSync(source, tar(file("f", "content")));
  store.ok("import", source, "--rootfs", "--name", "here:1");
  const [printed, calls] = [join(store.path, "printed"), join(store.path, "calls")];
  const traced = `exec strace -f -y -e trace=fsync -o "$2" "$1" --root "$3" diff here:1 >"$4"`;
  const { status } = spawnSync("sh", ["-c", traced, "sh", LAYERCTL, calls, store.root, printed]);
  assert.equal(status, 0);
  assert.match(readFileSync(printed, "utf8"), /^A \/f$/m);
  assert.doesNotMatch(readFileSync(calls, "utf8"), /fsync\(\d+<.*printed>/);
});
