/** How many cases of each subject `npm test` runs: about a minute. */

export const CORE_RUNS = 500;

export const SHARE = [
  ["dir", 400],
  ["core", CORE_RUNS],
  ["kernel:*", 50],
  ["store", 100],
  ["fuse", 150],
  ["fuse-user", 50],
  ["core --crash", 600],
  ["fuse --crash", 25],
  ["fuse-user --crash", 10],
] as const satisfies readonly (readonly [subject: string, runs: number])[];
