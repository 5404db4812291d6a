/**
 * Runs the packaged skopeo, umoci, podman and buildah on storage of their own below a test's directory. Two facts of some
 * machines are worked round: root without CAP_SYS_RESOURCE may not raise the limits that podman asks for, and crun refuses
 * a hybrid cgroup hierarchy.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mountsBelow } from "../helpers/leftovers.ts";

/** What is to be started, for who does it himself. */
export interface Invocation {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

export interface Peers extends Disposable {
  /** Runs a program, which must succeed, and returns its standard output without the last newline. */
  run(program: "skopeo" | "umoci" | "podman" | "buildah", ...args: readonly string[]): string;
  /** `podman run` of an image that podman has: no network, no cgroup. `trace`: where strace writes which files it opens. */
  podmanRun(image: string, command: readonly string[], trace?: string): string;
  /** As `podmanRun`, to be started; `options` are podman's. */
  podmanInvocation(options: readonly string[], image: string, command: readonly string[]): Invocation;
  /** Runs a command of a shell, which must succeed, as `run` does a program. */
  shell(command: string): string;
}

/**
 * Peers whose storage is `directory`; `mountProgram` mounts for them, with lines of its table in storage.conf after it.
 * Disposing unmounts what they left.
 */
export function peersIn(directory: string, mountProgram?: string, more = ""): Peers {
  mkdirSync(directory, { recursive: true });
  const storage = join(directory, "storage.conf");
  const containers = join(directory, "containers.conf");
  const paths = `graphroot = "${join(directory, "root")}"\nrunroot = "${join(directory, "run")}"`;
  const program =
    mountProgram === undefined ? "" : `[storage.options.overlay]\nmount_program = "${mountProgram}"\n${more}\n`;
  writeFileSync(storage, `[storage]\ndriver = "overlay"\n${paths}\n${program}`);
  writeFileSync(containers, '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n');
  const env = { ...process.env, CONTAINERS_STORAGE_CONF: storage, CONTAINERS_CONF: containers, TMPDIR: directory };
  const exec = (program: string, args: readonly string[]): string => {
    const { status, stdout, stderr, error } = spawnSync(program, args, { env, encoding: "utf8", maxBuffer: 1 << 28 });
    if (error !== undefined) throw error;
    if (status !== 0) throw new Error(`${program} ${args.join(" ")}: exit ${status}: ${stderr}`);
    return stdout.replace(/\n$/, "");
  };
  const podman = (tracer: string, args: readonly string[]): Invocation => {
    const run = `exec ${tracer} podman run --rm --network none --cgroups=disabled "$@"`;
    const script = `umount /sys/fs/cgroup/unified 2>/dev/null; ${run}`;
    return { file: "unshare", args: ["-m", "sh", "-c", script, "sh", ...args], env };
  };
  return {
    run: (program, ...args) => exec(program, program === "skopeo" ? ["--insecure-policy", ...args] : args),
    podmanRun: (image, command, trace) => {
      const strace = trace === undefined ? "" : `strace -f -s 4000 -e trace=openat,mount,fsconfig -o '${trace}'`;
      const { file, args } = podman(strace, [image, ...command]);
      return exec(file, args);
    },
    podmanInvocation: (options, image, command) => podman("", [...options, image, ...command]),
    shell: (command) => exec("sh", ["-c", command]),
    [Symbol.dispose]() {
      for (const target of mountsBelow(directory).toReversed()) spawnSync("umount", ["-i", "-l", target]);
    },
  };
}
