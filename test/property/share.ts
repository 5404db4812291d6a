/** How many cases of each subject `npm test` runs: a minute or two of processor time. */

export const SHARE = [
  ["dir", 400],
  ["core", 800],
  ["kernel:*", 50],
  ["store", 100],
  ["fuse", 150],
  ["fuse-user", 50],
  ["fuse-native", 40],
  ["core --crash", 800],
  ["fuse --crash", 100],
  ["fuse-user --crash", 50],
] as const satisfies readonly (readonly [subject: string, runs: number])[];
