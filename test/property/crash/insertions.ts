/** What our code is given beside its own where it is to be killed in the middle: its calls of libc are announced. */

/** In front of a text that is there once. */
export const CALLS = {
  /** The end of the module's path. */
  file: "/src/sys/libc.ts",
  before: "const result = bound(...args);",
  inserted: "if (globalThis.beforeCall?.(prototype, args) === true) return 0 as Result;",
};

/** The source of that module with its insertion. @throws if the text is not there once */
export function inserted(source: string): string {
  if (source.split(CALLS.before).length !== 2) throw new Error(`${CALLS.file} has not one "${CALLS.before}"`);
  return source.replace(CALLS.before, () => `${CALLS.inserted} ${CALLS.before}`);
}
