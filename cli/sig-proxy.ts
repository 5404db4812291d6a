/** --sig-proxy, of commands that are attached to a container. */

import { Option } from "commander";
import { UsageError } from "../src/errors.ts";

export function sigProxyOption(): Option {
  return new Option("--sig-proxy <bool>", "signals go to the container's command: true or false")
    .default(true)
    .argParser((text: string) => {
      if (/^(?:true|1|t)$/i.test(text)) return true;
      if (/^(?:false|0|f)$/i.test(text)) return false;
      throw new UsageError("ERR_USAGE", `Cannot use --sig-proxy "${text}": it is true or false`);
    });
}
