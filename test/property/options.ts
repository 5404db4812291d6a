/** What the command line of `npm run property` says. */

import { existsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { isSystemError, UsageError } from "../../src/errors.ts";
import { isInUserNamespace } from "../../src/privilege.ts";
import { crashing, KERNELS, subjectOf, WITHOUT_COMMAND } from "./subjects.ts";

export const HELP = `npm run property -- [--subject SUBJECT]... [--runs N] [--seed N] [--minutes M] [--script FILE]

Runs random programs of system calls on random stacks of layers, in the subject and in a plain directory that holds the
merged tree, and compares every answer and the trees; then looks at what the subject has left on disk. What is found is
made as small as it can be, and printed with a script that reproduces it. As root; without it "core-user", "fuse-user",
"kernel:userxattr" and commands, as the root of a user namespace.

  --subject   dir          a plain directory: checks the model
              core         our union in this process, without a mount (the default); core-user in a user namespace
              kernel       kernel overlayfs; kernel:OPTIONS with options; "kernel:*" with each set of options
              store        a snapshot of an imported image, committed, saved and imported again
              fuse         ours, mounted; fuse-user in a user namespace; fuse-native through libfuse
              COMMAND      [NAME=]'fuse-overlayfs -f -o lowerdir=%L,upperdir=%U,workdir=%W %M'
  --runs      cases a subject (500; without end where --minutes is given)
  --seed      of the first batch of cases; the same seed makes the same cases (1)
  --minutes   stop after so many, a subject
  --directory where to lay out layers (/dev/shm if there is one, else the temporary directory)
  --script    write the script of what was found to this file too
  --shrink    seconds to look for smaller cases (60)
  --quick     look for no smaller case, and for no difference that is known and gone
  --survey    go on after a finding, and count what is found by kind, each with its shortest case
  --crash     kill "core", "fuse" or their -user in the middle of every case, and look what is left
  --mutations make deliberate bugs in a copy of the tree, and see whether each is found

Exits with 0 if nothing was found, 1 if something was, 2 if it is not called as it says here. The last line says how many
cases ran.
`;

/** Where layers are laid out: in memory where that can hold attributes. */
const MEMORY = "/dev/shm";

export interface Options {
  readonly subjects: readonly string[];
  /** In a user namespace: that of the subjects. */
  readonly isUser: boolean;
  readonly runs: number;
  readonly seed: number;
  readonly minutes: number | null;
  readonly directory: string;
  readonly script: string | null;
  readonly shrinkSeconds: number;
  readonly survey: boolean;
  readonly quick: boolean;
  readonly crash: boolean;
}

/** What is to be done. @throws {UsageError} */
export function optionsOf(words: readonly string[]): Options | "help" | "mutations" {
  const { values, positionals } = parsed(words);
  if (values.help) return "help";
  if (values.mutations) return "mutations";
  if (positionals.length > 0)
    throw wrong(positionals.join(" "), "it takes options only; quote a command for --subject");
  const minutes = values.minutes === undefined ? null : numberOf("minutes", values.minutes, /^\d+(\.\d+)?$/);
  const runs = values.runs === undefined ? null : numberOf("runs", values.runs, /^[1-9]\d*$/);
  const subjects = values.subject.flatMap((text) =>
    text === "kernel:*" ? KERNELS.map((options) => `kernel:${options}`) : [text],
  );
  for (const subject of subjects) checkSubject(subject, values.crash);
  const isUser = process.geteuid?.() !== 0 || isInUserNamespace() || subjects.some((text) => text.endsWith("-user"));
  for (const subject of subjects) if (isUser) checkUser(subject);
  checkDirectory(values.directory);
  return {
    subjects,
    isUser,
    runs: runs ?? (minutes === null ? 500 : Number.POSITIVE_INFINITY),
    seed: numberOf("seed", values.seed, /^\d{1,10}$/),
    minutes,
    directory: values.directory,
    script: values.script ?? null,
    shrinkSeconds: values.quick ? 0 : numberOf("shrink", values.shrink, /^\d+$/),
    survey: values.survey,
    quick: values.quick,
    crash: values.crash,
  };
}

function parsed(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        subject: { type: "string", multiple: true, default: [process.geteuid?.() === 0 ? "core" : "core-user"] },
        runs: { type: "string" },
        seed: { type: "string", default: "1" },
        minutes: { type: "string" },
        script: { type: "string" },
        directory: { type: "string", default: existsSync(MEMORY) ? MEMORY : tmpdir() },
        shrink: { type: "string", default: "60" },
        survey: { type: "boolean", default: false },
        mutations: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
        crash: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError("ERR_USAGE", error.message.split(". ")[0]?.split("\n")[0] ?? "", { cause: error });
  }
}

function wrong(text: string, why: string): UsageError {
  return new UsageError("ERR_USAGE", `Cannot use "${text}": ${why}`);
}

function numberOf(option: string, text: string, pattern: RegExp): number {
  if (!pattern.test(text)) throw wrong(`--${option} ${text}`, "it is no such number");
  return Number(text);
}

/** @throws {UsageError} also for the options of a kernel mount */
function checkSubject(text: string, isCrash: boolean): void {
  if (!WITHOUT_COMMAND.test(text) && !text.includes("%M")) {
    throw wrong(`--subject ${text}`, "it is no subject, and no command with %M where it is to mount");
  }
  const subject = subjectOf(text);
  if (isCrash) crashing(subject, "");
}

/** In a user namespace some subjects are others, or none. */
function checkUser(text: string): void {
  const canBe = /-user$|^kernel$|^kernel:.*userxattr/.test(text) || !WITHOUT_COMMAND.test(text);
  if (canBe) return;
  throw wrong(`--subject ${text}`, "it takes root, alone; in a user namespace there are core-user and fuse-user");
}

function checkDirectory(directory: string): void {
  try {
    if (statSync(directory).isDirectory()) return;
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
  throw wrong(`--directory ${directory}`, "it is no directory");
}
