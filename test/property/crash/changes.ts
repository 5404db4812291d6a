/**
 * Announces every system call that changes a layer before it is made: put around the one place of our code that calls libc,
 * which knows nothing of it. It takes the insertions of `insertions.ts` to be in the code that runs.
 */

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
