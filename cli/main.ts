/** The program: arguments in, exit code out. Nothing else in the process exits. */

import type { HostPath } from "../src/paths.ts";
import { detachOutput } from "../src/sys/libc.ts";
import { argumentTexts } from "./arguments.ts";
import { Context } from "./context.ts";
import { Cancelled, reportError } from "./errors.ts";
import { parseCommandLine, verbNamed } from "./program.ts";
import { Cancellation } from "./signals.ts";

/** Runs the command that `argv` names; returns the exit code of src/errors.ts. */
async function main(argv: readonly string[]): Promise<number> {
  const cancellation = new Cancellation(process.env.LAYERCTL_NOHUP !== undefined);
  let debug = argv.includes("--debug");
  let json = argv.includes("--json");
  let root: HostPath | undefined;
  try {
    const invocation = await parseCommandLine(argv);
    if (invocation === null) return 0;
    ({ debug = false, json = false } = invocation.globals);
    const context = new Context(invocation.globals, cancellation);
    root = context.rootIfKnown;
    const result = await invocation.verb.run(context, ...(invocation.args as never[])); // as its `define` told commander to parse them
    return typeof result === "number" ? result : 0;
  } catch (error) {
    const reason: unknown = cancellation.signal.reason; // whatever failed after the signal, the signal is why
    const verb = verbNamed(argv);
    const report = { json, debug, command: verb?.name, root, exitCodeOf: verb?.exitCodeOf };
    return reportError(reason instanceof Cancelled ? reason : error, report);
  }
}

/** A write that fails must not be followed by waiting for what is left open, so the process does not wait for anything. */
function exit(code: number): void {
  detachOutput();
  process.exit(code);
}

main(argumentTexts()).then(exit, (error) => exit(reportError(error, { json: false, debug: true })));
