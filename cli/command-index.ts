/** Which of the arguments is the command. */

/** Options of the program that take the next argument as their value. */
const VALUED = new Set(["--root"]);

/** Where in `argv` the command is: its first argument that is not an option or the value of one; -1 if there is none. */
export function commandIndex(argv: readonly string[]): number {
  return argv.findIndex((argument, at) => !argument.startsWith("-") && !VALUED.has(argv[at - 1] ?? ""));
}
