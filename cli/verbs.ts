/**
 * The commands, in the order of the help. A command's file is loaded when it is chosen, and only then what it works
 * with: what `mount` does not use must not cost its start.
 */

import type { Command } from "commander";
import type { Context } from "./context.ts";

/** A file of cli/verbs. */
export interface VerbModule {
  /** Gives the command its arguments, options and examples. */
  define(command: Command): void;
  /** Does the work: `args` are the arguments as defined, then the options. A number that it gives is the exit code. */
  run(context: Context, ...args: never[]): Promise<unknown> | unknown;
}

export interface VerbEntry {
  readonly name: string;
  readonly summary: string;
  /** The exit code for an error with this code, where a command has its own. */
  readonly exitCodeOf?: (code: string) => number;
  load(): Promise<VerbModule>;
}

/** As docker has them: whatever else failed is layerctl's. */
function containerExitCode(code: string): number {
  if (code === "ERR_COMMAND_NOT_FOUND") return 127;
  return code === "ERR_COMMAND_NOT_EXECUTABLE" ? 126 : 125;
}

export const VERBS: readonly VerbEntry[] = [
  { name: "import", summary: "Bring images into the store", load: () => import("./verbs/import.ts") },
  { name: "images", summary: "List images", load: () => import("./verbs/images.ts") },
  { name: "layers", summary: "List the layers of an image, or of the store", load: () => import("./verbs/layers.ts") },
  {
    name: "inspect",
    summary: "Show everything about an image, snapshot or container",
    load: () => import("./verbs/inspect.ts"),
  },
  { name: "history", summary: "Show how an image came to be", load: () => import("./verbs/history.ts") },
  { name: "tag", summary: "Give an image another name", load: () => import("./verbs/tag.ts") },
  { name: "rmi", summary: "Remove images", load: () => import("./verbs/rmi.ts") },
  { name: "mount", summary: "Mount an image as a tree to work in", load: () => import("./verbs/mount.ts") },
  { name: "mounts", summary: "List snapshots and where they are mounted", load: () => import("./verbs/mounts.ts") },
  { name: "umount", summary: "Unmount a snapshot and keep its changes", load: () => import("./verbs/umount.ts") },
  { name: "rm", summary: "Remove snapshots and their changes", load: () => import("./verbs/rm.ts") },
  {
    name: "run",
    summary: "Run a command in a new container",
    exitCodeOf: containerExitCode,
    load: () => import("./verbs/run.ts"),
  },
  {
    name: "exec",
    summary: "Run a command in a container that runs",
    exitCodeOf: containerExitCode,
    load: () => import("./verbs/exec.ts"),
  },
  { name: "ps", summary: "List containers", load: () => import("./verbs/ps.ts") },
  { name: "logs", summary: "Show what a detached container printed", load: () => import("./verbs/logs.ts") },
  {
    name: "attach",
    summary: "Join standard input and output with a container's",
    load: () => import("./verbs/attach.ts"),
  },
  { name: "start", summary: "Start containers that have ended", load: () => import("./verbs/start.ts") },
  { name: "stop", summary: "End containers", load: () => import("./verbs/stop.ts") },
  { name: "kill", summary: "Send a signal to containers", load: () => import("./verbs/kill.ts") },
  { name: "pause", summary: "Let what runs in containers stand still", load: () => import("./verbs/pause.ts") },
  { name: "unpause", summary: "Let paused containers go on", load: () => import("./verbs/unpause.ts") },
  { name: "stats", summary: "Show what containers use", load: () => import("./verbs/stats.ts") },
  { name: "wait", summary: "Wait until containers end, for their exit codes", load: () => import("./verbs/wait.ts") },
  { name: "cp", summary: "Copy files into a container and out of it", load: () => import("./verbs/cp.ts") },
  { name: "volume", summary: "List, make and remove volumes", load: () => import("./verbs/volume.ts") },
  { name: "top", summary: "List the processes of a container", load: () => import("./verbs/top.ts") },
  { name: "rename", summary: "Give a container or snapshot another name", load: () => import("./verbs/rename.ts") },
  { name: "port", summary: "List the ports of a container on this host", load: () => import("./verbs/port.ts") },
  { name: "bundle", summary: "Write an OCI bundle for a runtime", load: () => import("./verbs/bundle.ts") },
  { name: "diff", summary: "Show what changed", load: () => import("./verbs/diff.ts") },
  { name: "commit", summary: "Make an image of a snapshot's changes", load: () => import("./verbs/commit.ts") },
  { name: "save", summary: "Write images to a file or directory", load: () => import("./verbs/save.ts") },
  { name: "export", summary: "Write a merged tree as one tar", load: () => import("./verbs/export.ts") },
  { name: "fsck", summary: "Check the store", load: () => import("./verbs/fsck.ts") },
  { name: "gc", summary: "Remove what no image or snapshot needs", load: () => import("./verbs/gc.ts") },
  { name: "du", summary: "Show what takes how much space", load: () => import("./verbs/du.ts") },
  { name: "info", summary: "Show what this host and store can do", load: () => import("./verbs/info.ts") },
  { name: "setup", summary: "Let podman or containerd use the store", load: () => import("./verbs/setup.ts") },
  { name: "fuse", summary: "Mount directories as a union filesystem over FUSE", load: () => import("./verbs/fuse.ts") },
  {
    name: "serve",
    summary: "Serve the store to containerd as its snapshotter",
    load: () => import("./verbs/serve.ts"),
  },
  { name: "completion", summary: "Print a shell's completion script", load: () => import("./verbs/completion.ts") },
];
