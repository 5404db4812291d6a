/** A store with a busybox image, to run commands in, and what runs may leave on the machine. */

import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Outcome, type RunOptions, type TestStore, temporaryStore } from "./layerctl.ts";
import { mountsBelow } from "./leftovers.ts";
import { requires } from "./requires.ts";
import { directory, file, symlink, tar } from "./tar-builder.ts";

/** For tests that run containers. */
export const needsContainers = requires("root", "overlay", "program:busybox", "program:setpriv");

const PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n";
const GROUP = "root:x:0:\napp:x:1000:\nextra:x:77:app\n";

export interface ContainerStore extends TestStore {
  /** `layerctl run --rm` with these arguments; what came out, whatever the exit code. */
  inside(args: readonly string[], options?: RunOptions): Outcome;
  /** As `inside`, which must succeed: its standard output without the last newline. */
  shell(script: string, ...options: readonly string[]): string;
}

let imported: string | null = null;

/** A directory with the image's archive, and a store that has it: made once for all tests of a file. */
function importedOnce(): string {
  if (imported !== null) return imported;
  const { path, ok, remove } = temporaryStore();
  process.on("exit", remove);
  const source = join(path, "bb.tar");
  writeFileSync(source, busyboxTar());
  ok("import", source, "--rootfs", "--name", "bb:1");
  imported = path;
  return path;
}

/** `await using store = busyboxStore();` with the image "bb:1". */
export function busyboxStore(): ContainerStore {
  const from = importedOnce();
  const store = temporaryStore();
  execFileSync("cp", ["-a", `${from}/.`, store.path]); // a fifth of what an import takes
  const inside = (args: readonly string[], options: RunOptions = {}): Outcome =>
    store.run(["run", "--rm", ...args], options);
  const shell = (script: string, ...options: readonly string[]): string => {
    const { exitCode, stdout, stderr } = inside([...options, "bb:1", "sh", "-c", script]);
    if (exitCode !== 0) throw new Error(`${script}: exit ${exitCode}: ${stdout}${stderr}`);
    return stdout.toString().replace(/\n$/, "");
  };
  const dispose = async (): Promise<void> => {
    if (cgroupsOf(store).length > 0) endContainers(store); // of a test that failed
    await store[Symbol.asyncDispose]();
  };
  return { ...store, inside, shell, [Symbol.asyncDispose]: dispose };
}

function endContainers(store: TestStore): void {
  const { containers } = JSON.parse(store.ok("ps", "--json")) as { containers: readonly { name: string }[] };
  for (const { name } of containers) store.run(["rm", "-f", name]);
}

function busyboxTar(): Buffer {
  const program = spawnSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).stdout.trim();
  const applets = spawnSync(program, ["--list"], { encoding: "utf8" }).stdout.trim().split("\n");
  return tar(
    directory("bin/"),
    file("bin/busybox", readFileSync(program), { mode: 0o755 }),
    ...applets.filter((name) => name !== "busybox").map((name) => symlink(`bin/${name}`, "busybox")),
    ...["etc/", "home/", "home/app/", "root/", "tmp/"].map((path) => directory(path)),
    file("etc/passwd", PASSWD),
    file("etc/group", GROUP),
  );
}

/** What is on the machine of this store's containers: mounts, cgroups, processes. One line each. */
export function tracesOf(store: TestStore): readonly string[] {
  return [
    ...mountsBelow(store.path).map((target) => `mount ${target}`),
    ...cgroupsOf(store).map((path) => `cgroup ${path}`),
    ...processesOf(store).map((text) => `process ${text}`),
  ];
}

/** Every group of a container of this store. */
export function cgroupsOf(store: TestStore): readonly string[] {
  const { ino } = statSync(store.root, { bigint: true });
  const name = `layerctl-*-${ino.toString(16)}-*`;
  const { stdout } = spawnSync("find", ["/sys/fs/cgroup", "-maxdepth", "4", "-type", "d", "-name", name], {
    encoding: "utf8",
  });
  return stdout.split("\n").filter(Boolean);
}

/** Processes with the store's path in their arguments: the launcher's have. */
function processesOf(store: TestStore): readonly string[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const words = readFileSync(join("/proc", pid, "cmdline"), "latin1").replaceAll("\0", " ");
      return words.includes(store.path) ? [`${pid} ${words}`] : [];
    } catch {
      return []; // it has ended
    }
  });
}
