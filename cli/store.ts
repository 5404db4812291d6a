/**
 * How commands open their store. Only `import` makes one, of a source that it can use: any other command would find nothing in it, and a mistyped --root
 * would leave an empty store behind. Without a store a list is empty, and who names something is told that there is none.
 */

import { Store } from "../layers/store.ts";
import { NotFoundError } from "../src/errors.ts";
import { display } from "../src/paths.ts";
import type { Context } from "./context.ts";

/** @throws a system error if this user may not look */
export function isStoreThere({ root }: Context): boolean {
  return Store.isThere(root);
}

/** The store, made if there is none. @throws what `Store.open` throws */
export function makeStore({ root, logger }: Context): Store {
  return Store.open(root, { logger });
}

/** The store. @throws {NotFoundError} `ERR_STORE_NOT_FOUND`; what `Store.open` throws */
export function openStore({ root, logger }: Context): Store {
  return Store.open(root, { logger, create: false });
}

/** The store, or null if there is none, which is said on stderr. @throws what `Store.open` throws */
export function openStoreIfAny(context: Context): Store | null {
  try {
    return openStore(context);
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    const path = display(context.root);
    context.say("store.none", `there is no store at "${path}" yet; "layerctl import" makes one`, { path });
    return null;
  }
}
