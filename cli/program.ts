/**
 * The command line as commander sees it. Only the chosen command is defined in full: defining all of them would cost
 * every start several milliseconds.
 */

import { Command, type CommanderError } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { UsageError } from "../src/errors.ts";
import type { GlobalOptions } from "./context.ts";
import { STDERR, STDOUT, write } from "./output.ts";
import { VERBS, type VerbEntry, type VerbModule } from "./verbs.ts";

/** The command line, understood. */
export interface Invocation {
  readonly verb: VerbModule;
  readonly globals: GlobalOptions;
  /** The arguments of `verb.run` after the context. */
  readonly args: readonly unknown[];
}

const EXAMPLES = `
Examples:
  $ layerctl import debian.tar
  $ layerctl mount debian:12 --name work
  $ layerctl diff work
  $ layerctl commit work debian:mine -m "what I did"
  $ layerctl save debian:mine -o mine.tar

Run "layerctl COMMAND --help" for the options and examples of a command.`;

/**
 * What `argv` (without node and script) asks for; null if that was help or the version, which have been printed.
 * @throws {UsageError} `ERR_USAGE` for what no command or option is called
 */
export async function parseCommandLine(argv: readonly string[]): Promise<Invocation | null> {
  const program = createProgram();
  const chosen = chosenVerb(argv);
  let invocation: Invocation | null = null;
  for (const entry of chosen === undefined ? VERBS : [chosen]) addCommand(program, entry);
  if (chosen !== undefined) {
    const verb = await chosen.load();
    const [command] = program.commands;
    if (command === undefined) throw new Error("the command that was just added is missing");
    defineVerb(command, verb);
    command.action(() => {
      const globals = { ...program.opts<GlobalOptions>(), ...command.opts<GlobalOptions>() };
      invocation = { verb, globals, args: [...command.processedArgs, command.opts()] };
    });
  }
  try {
    program.parse(argv, { from: "user" });
  } catch (error) {
    if (!isCommanderError(error)) throw error;
    if (error.exitCode === 0) return null;
    if (error.code === "commander.help") throw new UsageError("ERR_USAGE", "Cannot run: no command given");
    throw new UsageError("ERR_USAGE", error.message.replace(/^error: /, ""));
  }
  return invocation;
}

/** Every command in full: for the completion and for the test of the documentation. */
export async function completeProgram(): Promise<Command> {
  const program = createProgram();
  for (const entry of VERBS) defineVerb(addCommand(program, entry), await entry.load());
  return program;
}

/** The help of every command, by its name; the program's own is "layerctl". */
export async function commandHelp(): Promise<ReadonlyMap<string, string>> {
  const program = await completeProgram();
  const texts = [program, ...program.commands].map((command) => [command.name(), helpOf(command)] as const);
  return new Map(texts);
}

/** As --help prints it. */
function helpOf(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text) });
  command.outputHelp();
  return help;
}

function addCommand(program: Command, entry: VerbEntry): Command {
  return program.command(entry.name).summary(entry.summary).description(entry.summary);
}

/** Arguments, options and examples of a command, and the options that every command takes. */
function defineVerb(command: Command, verb: VerbModule): void {
  verb.define(command);
  addGlobalOptions(command.optionsGroup("Global options:"));
  command.helpOption("-h, --help", "show this help");
}

/** The program without its commands. */
function createProgram(): Command {
  const program = new Command("layerctl")
    .description("Overlay filesystem and OCI image-layer manager: images in, mounted trees, changes, images out.")
    .usage("[options] COMMAND")
    .enablePositionalOptions() // what follows the command is the command's: "-m --json" is a message
    .exitOverride()
    .configureOutput({
      writeOut: (text) => write(STDOUT, text),
      writeErr: (text) => write(STDERR, text),
      outputError: () => {}, // the message is in the error that follows
      getOutHelpWidth: () => Number(process.env.COLUMNS) || 100, // asking the terminal would load node's tty
      getErrHelpWidth: () => 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError(false)
    .helpCommand(false)
    .version(packageJson.version, "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", EXAMPLES);
  addGlobalOptions(program);
  return program;
}

function addGlobalOptions(command: Command): void {
  command
    .option("--root <dir>", "the store (default: LAYERCTL_ROOT, /var/lib/layerctl, or the user's data directory)")
    .option("--json", "print one JSON document instead of text")
    .option("-q, --quiet", "no progress and no warnings")
    .option("--debug", "print every event, and the stack of an error");
}

/** Options of the program that take the next argument as their value. */
const VALUED = new Set(["--root"]);

/** The command that `argv` names: its first argument that is not an option or the value of one. */
function chosenVerb(argv: readonly string[]): VerbEntry | undefined {
  for (let at = 0; at < argv.length; at += 1) {
    const argument = argv[at] ?? "";
    if (VALUED.has(argument)) at += 1;
    else if (argument === "-h" || argument === "--help") return undefined;
    else if (!argument.startsWith("-")) return VERBS.find((entry) => entry.name === argument);
  }
  return undefined;
}

function isCommanderError(error: unknown): error is CommanderError {
  return error instanceof Error && "code" in error && String(error.code).startsWith("commander.");
}
