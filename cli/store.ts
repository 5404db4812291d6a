/**
 * How commands open their store. Only `import` makes one, of a source that it can use: any other command would find nothing in it, and a mistyped --root
 * would leave an empty store behind. Without a store a list is empty, and who names something is told that there is none.
 */

import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { userEntry } from "../layers/containers/user-entry.ts";
import { untoldLimits } from "../layers/containers/user-limits.ts";
import { Store } from "../layers/store.ts";
import { NotFoundError } from "../src/errors.ts";
import { bytesOf, display, type HostPath } from "../src/paths.ts";
import type { Context } from "./context.ts";

/** @throws a system error if this user may not look */
export function isStoreThere({ root }: Context): boolean {
  return Store.isThere(root);
}

/** The directory that a store is to be made in: the nearest one that is there. */
export function directoryForStore({ root }: Context): HostPath {
  let path = root;
  while (!existsSync(bytesOf(path))) path = dirname(path) as HostPath;
  return path;
}

/** The store, made if there is none. @throws what `Store.open` throws */
export function makeStore({ root, logger }: Context): Store {
  return Store.open(root, { logger });
}

/**
 * The store. An ordinary user whose containers run goes to where they are first: then this command begins again there.
 * @throws {NotFoundError} `ERR_STORE_NOT_FOUND`; what `Store.open` throws
 */
export function openStore(context: Context): Store {
  return openAndEnter(context, false);
}

/** As `openStore`, for what starts a container: an ordinary user gets a place where he may. */
export function openStoreToRun(context: Context): Store {
  const store = openAndEnter(context, true);
  const missing = untoldLimits(store);
  if (missing.length > 0) {
    context.say("container.limits", `containers of this user have no ${missing.join("; no ")}`, { missing });
  }
  return store;
}

function openAndEnter({ root, logger }: Context, isToRun: boolean): Store {
  const store = Store.open(root, { logger, create: false });
  if (process.geteuid?.() === 0) return store;
  const entry = userEntry(store, isToRun);
  if (entry === null || process.execve === undefined) return store;
  const [file, ...args] = entry;
  store[Symbol.dispose]();
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  // Of this user's store: in the namespace he is root.
  process.execve(file, [file, ...args, ...again], { ...process.env, LAYERCTL_ROOT: bytesOf(root).toString() });
  return store;
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
