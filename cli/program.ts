/**
 * The command line as commander sees it. Only the chosen command is defined in full: defining all of them would cost
 * every start several milliseconds.
 */

import { Command, type CommanderError } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { UsageError } from "../src/errors.ts";
import { commandIndex } from "./command-index.ts";
import type { GlobalOptions } from "./context.ts";
import { STDOUT, tell, write } from "./output.ts";
import { VERBS, type VerbEntry, type VerbModule } from "./verbs.ts";

/** The command line, understood. */
export interface Invocation {
  readonly verb: VerbModule;
  readonly globals: GlobalOptions;
  /** The arguments of `verb.run` after the context. */
  readonly args: readonly unknown[];
}

/** Where no terminal says how wide it is. */
const HELP_WIDTH = 100;

const EXAMPLES = `
Examples:
  $ layerctl import debian.tar
  $ layerctl mount debian:12 --name work
  $ layerctl diff work
  $ layerctl commit work debian:mine -m "what I did"
  $ layerctl save debian:mine -o mine.tar

Run "layerctl help COMMAND" or "layerctl COMMAND --help" for the options and examples of a command.`;

/**
 * What `given` (without node and script) asks for; null if that was help or the version, which have been printed.
 * @throws {UsageError} `ERR_USAGE` for what no command or option is called
 */
export async function parseCommandLine(given: readonly string[]): Promise<Invocation | null> {
  const { chosen, argv } = understand(given);
  const program = createProgram();
  if (given.includes("--json")) program.configureOutput({ writeErr: () => {} }); // the error's document is all there is
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
    throw new UsageError("ERR_USAGE", `Cannot run "${chosen?.name ?? "layerctl"}": ${stateOf(error)}`);
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

/** As --help prints it where there is no terminal. */
function helpOf(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => HELP_WIDTH });
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
      writeErr: tell,
      outputError: () => {}, // the message is in the error that follows
      getOutHelpWidth: () => Number(process.env.COLUMNS) || process.stdout.columns || HELP_WIDTH,
      getErrHelpWidth: () => HELP_WIDTH,
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

/**
 * The command that `given` names, and what commander is to parse: "help COMMAND" is "COMMAND --help", and behind what is
 * no command nothing counts, lest its --help be answered with ours.
 */
function understand(given: readonly string[]): {
  readonly chosen: VerbEntry | undefined;
  readonly argv: readonly string[];
} {
  let argv = given;
  let at = commandIndex(argv);
  if (argv[at] === "help") {
    argv = [...argv.slice(0, at), ...argv.slice(at + 1), "--help"];
    at = commandIndex(argv);
  }
  const isHelpBefore = argv.slice(0, Math.max(at, 0)).some((option) => option === "-h" || option === "--help");
  if (at < 0 || isHelpBefore) return { chosen: undefined, argv };
  const chosen = VERBS.find((entry) => entry.name === argv[at]);
  return { chosen, argv: chosen === undefined ? argv.slice(0, at + 1) : argv };
}

/** The command that `argv` names, for messages. */
export function verbNamed(argv: readonly string[]): VerbEntry | undefined {
  return understand(argv).chosen;
}

/** What commander found, as the end of a message: its suggestions come on a line of their own, its sentences with a stop. */
function stateOf(error: CommanderError): string {
  if (error.code === "commander.help") return "no command is given";
  return error.message
    .replace(/^error: /, "")
    .replace(/\n\(Did you mean (.*)\?\)$/, "; did you mean $1?")
    .replace(/\.$/, "")
    .replace(/\. /g, "; ");
}

function isCommanderError(error: unknown): error is CommanderError {
  return error instanceof Error && "code" in error && String(error.code).startsWith("commander.");
}
