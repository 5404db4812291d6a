/** The system calls that programs are made of, as values. Paths are below the root of the tree; root of the host makes them. */

import { display } from "../../../src/paths.ts";
import type { Inode, Path } from "./tree.ts";
import { shownContent } from "./tree.ts";

export type Call =
  /** open(2) with O_CREAT, O_EXCL. */
  | { readonly do: "create"; readonly path: Path; readonly mode: number }
  /** open(2) with O_CREAT, O_TRUNC, and write(2). */
  | { readonly do: "replace"; readonly path: Path; readonly text: string }
  /** pwrite(2). */
  | { readonly do: "write"; readonly path: Path; readonly offset: number; readonly text: string }
  /** write(2) with O_APPEND. */
  | { readonly do: "append"; readonly path: Path; readonly text: string }
  | { readonly do: "truncate"; readonly path: Path; readonly size: number }
  /** fallocate(2). */
  | {
      readonly do: "allocate";
      readonly path: Path;
      readonly how: "allocate" | "keepSize" | "punchHole";
      readonly offset: number;
      readonly length: number;
    }
  /** Writes the start of the file through a shared mapping (mmap(2)). */
  | { readonly do: "map"; readonly path: Path; readonly text: string }
  | { readonly do: "mkdir"; readonly path: Path; readonly mode: number }
  | { readonly do: "mkfifo"; readonly path: Path; readonly mode: number }
  | { readonly do: "symlink"; readonly target: string; readonly path: Path }
  | { readonly do: "link"; readonly from: Path; readonly to: Path }
  | {
      readonly do: "rename";
      readonly from: Path;
      readonly to: Path;
      readonly how: "replace" | "noreplace" | "exchange";
    }
  | { readonly do: "unlink"; readonly path: Path }
  | { readonly do: "rmdir"; readonly path: Path }
  | { readonly do: "chmod"; readonly path: Path; readonly mode: number }
  | { readonly do: "chown"; readonly path: Path; readonly uid: number; readonly gid: number }
  | { readonly do: "utimens"; readonly path: Path; readonly mtime: number }
  | {
      readonly do: "setxattr";
      readonly path: Path;
      readonly name: string;
      readonly value: string;
      readonly how: "set" | "create" | "replace";
    }
  | { readonly do: "removexattr"; readonly path: Path; readonly name: string }
  | { readonly do: "read"; readonly path: Path }
  | { readonly do: "list"; readonly path: Path }
  | { readonly do: "stat"; readonly path: Path }
  /** Opens a file, unlinks its name, writes the start of it and reads it all, through the descriptor. */
  | { readonly do: "unlink open"; readonly path: Path; readonly text: string }
  /** Opens a file for reading, writes the start of it through another descriptor, and reads it all through the first. */
  | { readonly do: "write open"; readonly path: Path; readonly text: string }
  /** Begins to list a directory, makes one name in it and removes another, and goes on: all other names are listed once. */
  | { readonly do: "list changing"; readonly path: Path; readonly made: string; readonly removed: string };

/** A call, and which of the processes of a program makes it. */
export type Step = Call & { readonly by?: number };

/** "done", an errno's name, or what was read. */
export type Outcome = string;

/** One line for people. */
export function callText(call: Step): string {
  const { do: verb, by = 0, ...rest } = call;
  const words = Object.entries(rest).map(([key, value]) => {
    if (key === "mode" && typeof value === "number") return `0${value.toString(8)}`;
    if (key === "text") return `"${shownContent(String(value))}"`;
    return display(String(value)).replace(/(.)\1{19,}/g, (run, byte: string) => `${byte}{${run.length}}`);
  });
  return `${by === 0 ? "" : "(other process) "}${verb} ${words.join(" ")}`;
}

/** What stat(2) says that a union must say too. Of directories neither size nor links: these are the file system's own. */
export function statText(inode: Inode, links: number): Outcome {
  const { kind, mode, uid, gid, content, mtime } = inode;
  const size = kind === "directory" ? "" : ` ${content.length} bytes, links ${links}`;
  const bits = kind === "symlink" ? "" : ` ${mode.toString(8)}`;
  return `${kind}${bits} ${uid}:${gid}${size} @${mtime}`;
}
