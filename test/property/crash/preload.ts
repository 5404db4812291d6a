/** Preloaded (`node --import`), it has this process's own code announce its changes (`changes.ts`). */

import { registerHooks } from "node:module";
import { CALLS, inserted } from "./insertions.ts";

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context);
    return url.endsWith(CALLS.file) ? { ...loaded, source: inserted(String(loaded.source)) } : loaded;
  },
});
