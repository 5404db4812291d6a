/**
 * Preloaded (`node --import`), it has every system call that changes a layer announced before it is made: put around the one
 * place of our code that calls libc, which knows nothing of it.
 */

import { registerHooks } from "node:module";

/** The variable that says before which change a server is killed, counted from its mount: 0 is the first. */
export const KILL_AT = "LAYERCTL_TEST_KILL_AT";

/** What our code is given beside its own: where a text is there once. */
interface Insertion {
  /** The end of the module's address. */
  readonly file: string;
  readonly before: string;
  readonly inserted: string;
}

const CALLS: Insertion = {
  file: "/src/sys/libc.ts",
  before: "const result = bound(...args);",
  inserted: "if (globalThis.beforeCall?.(prototype, args) === true) return 0 as Result;",
};

const CHANGES =
  /^(mkdir|mknod|symlink|link|unlink|rename|fchown|fchmod|utimens|futimens|ftruncate|fallocate|posix_fallocate|pwrite|copy_file_range|[lf]setxattr|[lf]removexattr)/;
const O_CREAT = 0o100;

declare global {
  /** True: the call is not made, and succeeds. */
  var beforeCall: ((prototype: string, args: readonly unknown[]) => boolean) | undefined;
}

/** True for a call that changes a layer. */
function isChange(prototype: string, args: readonly unknown[]): boolean {
  const name = /(\w+)\(/.exec(prototype)?.[1] ?? "";
  return CHANGES.test(name) || (name === "openat" && (Number(args[2]) & O_CREAT) !== 0);
}

/** Calls `action` before each change of a layer in this thread; null: no more. True: the change is not made, and succeeds. */
export function beforeChange(action: (() => boolean) | null): void {
  globalThis.beforeCall = action === null ? undefined : (prototype, args) => isChange(prototype, args) && action();
}

/** @throws when the module is loaded and does not have the text once */
export function insert(...insertions: readonly Insertion[]): void {
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      const insertion = insertions.find(({ file }) => url.endsWith(file));
      if (insertion === undefined) return loaded;
      const { file, before, inserted } = insertion;
      const source = String(loaded.source);
      if (source.split(before).length !== 2) throw new Error(`${file} has not one "${before}"`);
      return { ...loaded, source: source.replace(before, () => `${inserted} ${before}`) };
    },
  });
}

insert(CALLS);
