/** Options that may be given more than once. */

import { Option } from "commander";

/** An option whose values are a list, in the order in which they are given. */
export function list(flags: string, description: string): Option {
  return new Option(flags, `${description}; may be repeated`).argParser(
    (value: string, before: readonly string[] | undefined) => [...(before ?? []), value],
  );
}
