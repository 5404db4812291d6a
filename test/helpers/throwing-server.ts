/** throwing-server.ts TARGET: a file system through fuse-native that has one file; what else is asked for throws what is no errno. */

import { mountNative, type NativeCalls } from "../../fuse/transports/fuse-native.ts";

const STAT_WORDS = 18;

/** The words of a stat of a path; for "/odd" what is none, which the addon refuses. */
function statOf(path: string): unknown {
  if (path === "/odd") return null;
  if (path !== "/" && path !== "/file") throw new TypeError("no words");
  const words = new Uint32Array(STAT_WORDS);
  words[0] = path === "/" ? 0o40755 : 0o100644;
  return words;
}

const calls: NativeCalls = {
  init: { answer: () => [0], onFailure: () => [] },
  getattr: { answer: ({ text }) => [0, statOf(text(0))], onFailure: () => [new Uint32Array(STAT_WORDS)] },
};

const EIO = 5;

mountNative(process.argv[2] ?? "", "allow_other", calls, (error, call) => {
  process.stderr.write(`${call}: ${error}\n`);
  return EIO;
});
