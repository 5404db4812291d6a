/** `layerctl fuse -o lowerdir=… TARGET`: our union filesystem on its own, as fuse-overlayfs is called. */

import { readlinkSync } from "node:fs";
import { type Command, Option } from "commander";
import { TRANSPORTS, type Transport } from "../../fuse/options.ts";
import { startFuseServer } from "../../src/mount/fuse-server.ts";
import { hostPath, hostPathOfBytes } from "../../src/paths.ts";
import type { Context } from "../context.ts";

interface Options {
  readonly options: readonly string[];
  readonly foreground?: boolean;
  readonly d?: boolean;
  readonly transport?: Transport;
}

export function define(command: Command): void {
  command
    .argument("<target>", "the directory to mount at; with two arguments, as mount(8) gives them, the second")
    .argument("[target]")
    .addOption(
      new Option("-o, --options <options>", "what to mount and how; may be repeated")
        .argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value])
        .makeOptionMandatory(),
    )
    .option("-f, --foreground", "stay in front, and log to stderr; SIGUSR1 logs what was counted")
    .option("-d", "as -f, and log every event")
    .addOption(
      new Option(
        "--transport <transport>",
        "what talks to the kernel: we by /dev/fuse, or libfuse 2, which can do less",
      ).choices(TRANSPORTS),
    )
    .addHelpText(
      "after",
      `
Shows the directories of lowerdir, the topmost first, as one tree; what is changed goes to upperdir, which kernel
overlayfs can mount too. Without an upperdir the tree is read-only. It ends when it is unmounted (umount, fusermount3 -u).

Options, as overlayfs and fuse-overlayfs spell them; what is not known is named on stderr and ignored:
  lowerdir=A:B…  upperdir=U  workdir=W  ro  userxattr  redirect_dir=on|off|nofollow  volatile  timeout=SECONDS
  uidmapping=DISK:SHOWN:COUNT…  gidmapping=…  squash_to_root  squash_to_uid=UID  squash_to_gid=GID
  xattr_permissions=0|1|2  override_stat=off  static_nlink  noacl  noxattrs  writeback=0  passthrough=off
  aufs=off  context="LABEL"  debug  transport=device|fuse-native
  [no]suid  [no]dev  [no]exec  [no]atime  [no]diratime

The transport fuse-native takes the npm package of that name, and libfuse 2; docs/fuse-native.md says what it cannot do.

Examples:
  $ layerctl fuse -o lowerdir=/layers/app:/layers/base,upperdir=/changes/upper,workdir=/changes/work /mnt
  $ mount -t fuse.layerctl-fuse -o lowerdir=/layers/app:/layers/base overlay /mnt`,
    );
}

export async function run(
  context: Context,
  first: string,
  second: string | undefined,
  { options, foreground = false, d = false, transport }: Options,
): Promise<void> {
  const target = hostPath(second ?? first);
  const directory = hostPathOfBytes(readlinkSync("/proc/self/cwd", "buffer"));
  const more = [...(d ? ["debug"] : []), ...(transport === undefined ? [] : [`transport=${transport}`])];
  const bytes = hostPath([...options, ...more].join(","));
  const { serveMount, taskOf } = await import("../../fuse/server/serve.ts");
  const task = taskOf(bytes, target, directory);
  if (task.options.ignored.length > 0)
    context.say("fuse.options.ignored", `unknown argument ignored: ${task.options.ignored.join(", ")}`);
  if (foreground || d) await serveMount(task, d ? context.fullLogger : context.logger, () => {});
  else await startFuseServer({ options: bytes, target, directory });
}
