/**
 * The commands that scripts call again and again. Each has a bundle of its own, a third of the whole program: every
 * hundred kilobytes of text cost a start half a millisecond, whether it is run or not.
 */
export const OWN_BUNDLES = ["mount", "umount", "diff", "commit", "run", "exec"] as const;

/** The file in dist/ that has the command, given its name. */
export function bundleOf(command: string | undefined): string {
  return OWN_BUNDLES.some((name) => name === command) ? `./verb-${command}.cjs` : "./main.cjs";
}
