/** The options of commands that make a container, as docker spells them. */

import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import type { NamespaceTexts } from "../layers/containers/namespace-options.ts";
import type { ContainerOptions } from "../layers/containers/options.ts";
import { isSystemError, UnsupportedError, UsageError } from "../src/errors.ts";
import type { LimitTexts } from "../src/exec/cgroup/limits.ts";
import { list } from "./list-option.ts";
import { defineNetworkOptions, type NetworkFlags, networkOf } from "./network-options.ts";

/** As commander gives them. */
export interface ContainerFlags extends LimitTexts, NamespaceTexts, NetworkFlags {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly volume?: readonly string[];
  readonly readOnly?: boolean;
  readonly tmpfs?: readonly string[];
  readonly entrypoint?: string;
  readonly hostname?: string;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly securityOpt?: readonly string[];
  readonly ulimit?: readonly string[];
  readonly device?: readonly string[];
  readonly cgroupDriver: string;
  readonly init?: boolean;
}

export function defineContainerOptions(command: Command): Command {
  const defined = command
    .option("-i, --interactive", "the command reads standard input; else it has none")
    .option("-t, --tty", "give the command a terminal of its own")
    .addOption(list("-e, --env <name=value>", "a variable of the environment; without a value the one of yours"))
    .option("-u, --user <user[:group]>", "who runs the command: names of the image, or numbers (default: the image's)")
    .option("-w, --workdir <dir>", "where the command starts (default: the image's)")
    .addOption(
      list("-v, --volume <src:dst[:ro]>", "a directory or file of this host in the container, or the volume of a name"),
    )
    .addOption(list("--tmpfs <dst[:options]>", "an empty directory in memory"))
    .option("--read-only", "the root cannot be changed; volumes can")
    .option(
      "--entrypoint <program>",
      'what is run, the command being its arguments; "" for none (default: the image\'s)',
    )
    .option("--hostname <name>", "the container's name for itself (default: its name)")
    .addOption(list("--cap-add <capability>", 'a capability more than docker gives, or "ALL"'))
    .addOption(list("--cap-drop <capability>", 'a capability less, or "ALL"'))
    .option("--privileged", "all capabilities and devices, and nothing hidden: no boundary to this host")
    .addOption(
      list(
        "--security-opt <option>",
        "no-new-privileges: setuid programs give nothing; seccomp=unconfined or FILE: which system calls fail",
      ),
    )
    .addOption(list("--ulimit <name=soft[:hard]>", "a limit of the command, such as nofile=1024:4096"))
    .option("-m, --memory <size>", "the most memory, such as 32m; what needs more is killed")
    .option("--memory-swap <size>", "the most memory and swap together; -1: no limit (default: twice the memory)")
    .option("--memory-reservation <size>", "what it keeps where memory is short")
    .option("--oom-kill-disable", "what uses up its memory waits (cgroup v1)")
    .option("--cpus <number>", "the most processor time, in processors, such as 0.5")
    .option("--cpu-shares <number>", "the weight where processors are short (others have 1024)")
    .option("--cpu-period <microseconds>", "the time that --cpu-quota is of (default: 100000)")
    .option("--cpu-quota <microseconds>", "the most processor time of a period")
    .option("--cpuset-cpus <list>", "the processors that are used, such as 0-2,4")
    .option("--cpuset-mems <list>", "the memory nodes that are used")
    .option("--pids-limit <number>", "the most processes and threads; -1: no limit")
    .option("--blkio-weight <number>", "the weight where disks are busy, from 10 to 1000")
    .addOption(list("--device-read-bps <device:rate>", "the most bytes read of it in a second, such as /dev/sda:1mb"))
    .addOption(list("--device-write-bps <device:rate>", "the most bytes written"))
    .addOption(list("--device-read-iops <device:rate>", "the most reads"))
    .addOption(list("--device-write-iops <device:rate>", "the most writes"))
    .addOption(list("--device <src[:dst][:rwm]>", "a device of this host, and what may be done: read, write, mknod"))
    .addOption(
      new Option("--cgroup-driver <driver>", "who makes its control group; auto: systemd, where it runs with cgroup v2")
        .choices(["auto", "cgroupfs", "systemd"])
        .default("auto"),
    )
    .option("--pid <mode>", "processes that are seen: host, or container:NAME (default: its own)")
    .option(
      "--ipc <mode>",
      "shared memory and queues: host, shareable, or container:NAME of one that is (default: its own)",
    )
    .option("--uts <mode>", "the host's name: host, or container:NAME (default: its own)")
    .option("--cgroupns <mode>", "how the cgroup tree is seen: host (default: its own)")
    .option("--userns <mode>", "user ids: auto, private, keep-id, or container:NAME (default: the host's)")
    .addOption(list("--uidmap <container:host:size>", "user ids of the container, and which of the host's they are"))
    .addOption(list("--gidmap <container:host:size>", "the same for groups (default: as users)"))
    .option("--subuidname <name>", "user ids of the container: those of this name in /etc/subuid")
    .option("--subgidname <name>", "the same for groups, in /etc/subgid (default: as users)")
    .option("--timens <mode>", "clocks: private, or container:NAME (default: the host's)")
    .addOption(
      list("--time-offset <clock=seconds>", "what monotonic or boottime shows more, in a time namespace of its own"),
    )
    .option(
      "--init",
      "process 1 passes signals on and reaps what the command leaves: tini-static, catatonit, docker-init or bash of this host",
    );
  return defineNetworkOptions(defined);
}

/** What was asked for. `findInit` looks for the program of `--init`. @throws {UnsupportedError} `ERR_NO_INIT` */
export function containerOptions(
  command: readonly string[],
  flags: ContainerFlags,
  findInit: () => string | null,
): ContainerOptions {
  const { entrypoint, user, workdir, hostname } = flags;
  return {
    command,
    ...(entrypoint !== undefined && { entrypoint }),
    ...(user !== undefined && { user }),
    ...(workdir !== undefined && { workdir }),
    ...(hostname !== undefined && { hostname }),
    ...(flags.init && { init: requireInit(findInit) }),
    env: flags.env ?? [],
    volumes: flags.volume ?? [],
    tmpfs: flags.tmpfs ?? [],
    readOnly: flags.readOnly ?? false,
    capAdd: flags.capAdd ?? [],
    capDrop: flags.capDrop ?? [],
    privileged: flags.privileged ?? false,
    securityOptions: (flags.securityOpt ?? []).map(withProfile),
    ulimits: flags.ulimit ?? [],
    limits: limitsOf(flags),
    devices: flags.device ?? [],
    cgroupDriver: flags.cgroupDriver,
    ...networkOf(flags),
    namespaces: namespacesOf(flags),
    terminal: flags.tty ?? false,
    interactive: flags.interactive ?? false,
  };
}

const LIMITS: readonly (keyof LimitTexts)[] = [
  ...(["memory", "memorySwap", "memoryReservation", "oomKillDisable", "pidsLimit"] as const),
  ...(["cpus", "cpuShares", "cpuPeriod", "cpuQuota", "cpusetCpus", "cpusetMems"] as const),
  ...(["blkioWeight", "deviceReadBps", "deviceWriteBps", "deviceReadIops", "deviceWriteIops"] as const),
];

function limitsOf(flags: ContainerFlags): LimitTexts {
  return Object.fromEntries(LIMITS.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]]));
}

/** A profile is kept with the container, so that it starts again when the file is gone. @throws {UsageError} `ERR_SECCOMP_PROFILE` */
function withProfile(option: string): string {
  const [, path] = /^seccomp[:=](?!unconfined$|builtin$)(.+)$/.exec(option) ?? [];
  if (path === undefined) return option;
  try {
    return `seccomp=${readFileSync(path, "utf8")}`;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new UsageError("ERR_SECCOMP_PROFILE", `Cannot read the seccomp profile "${path}": ${error.code}`);
  }
}

const NAMESPACE_FLAGS = [
  ...(["pid", "ipc", "uts", "cgroupns", "userns", "timens", "timeOffset"] as const),
  ...(["uidmap", "gidmap", "subuidname", "subgidname"] as const),
] as const;

function namespacesOf(flags: ContainerFlags): NamespaceTexts {
  const given = NAMESPACE_FLAGS.filter((name) => flags[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, flags[name]]));
}

function requireInit(findInit: () => string | null): string {
  const path = findInit();
  if (path !== null) return path;
  const message =
    "Cannot use --init: this host has neither tini-static, catatonit nor docker-init; install one of them (bash does too, but not with --runtime)";
  throw new UnsupportedError("ERR_NO_INIT", message);
}
