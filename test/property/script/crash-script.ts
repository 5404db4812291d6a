/** The part of a script that shows what a server leaves that is killed in the middle of a program. */

import { fileURLToPath } from "node:url";
import { lastCalls } from "../crash/crashes.ts";
import type { Case } from "../generate/case.ts";
import { callsFor } from "../lay-out.ts";
import { callText } from "../model/call.ts";
import type { Tree } from "../model/tree.ts";
import { CORE_OPTIONS } from "../subjects.ts";
import { commandOf, quoted } from "./commands.ts";

const [PRELOAD, SERVER] = ["preload.ts", "kill-server.ts"].map((name) =>
  fileURLToPath(new URL(`../crash/${name}`, import.meta.url)),
) as [string, string];

/**
 * `stages`: what the tree may be afterwards. `elsewhere`: the command of another file system. The kernel may ask a server for
 * more than a union in a process is asked for, so the other places to kill it at are tried too, after that of the case.
 */
export function crashScript(failing: Case, stages: readonly Tree[], elsewhere: string): string {
  const { program, killAt = 0 } = failing;
  const last = lastCalls(failing);
  const canBeElsewhere = last === 1 && stages.length > 1; // then the stages are those of the one call, wherever it is killed
  const says = (calls: Case["program"]): string =>
    calls.map((step) => `    say ${quoted(callText(step))} ${commandOf(step)}`).join("\n");
  return `# The trees that there may be after the crash, as plain directories.
${stages.map(stageScript).join("\n")}
# Times of directories are not compared: they are put back in a second step.
compared() { tree "$1" | sed -E 's/^(.* d[^ ]+ [0-9]+:[0-9]+) [^ ]+/\\1/'; }
# One of the stages is what the mount shows.
looked() {
  compared "$work/merged" > "$work/found"
  for stage in ${stages.map((_, at) => at).join(" ")}; do
    compared "$work/stage$stage" > "$work/expected"
    cmp -s "$work/expected" "$work/found" && return
  done
  echo "killed before its change $kill (0 is the first), $1 shows another tree than before or after the call:"
  diff "$work/expected" "$work/found"; exit 1
}
killing() {
  printf '{"options":"lowerdir=%s,upperdir=%s,workdir=%s,${CORE_OPTIONS}","target":"%s","killAt":%s}' \\
    "$lowers" "$upper" "$workdir" "$work/merged" "$kill" |
    ${process.execPath} --import ${PRELOAD} ${SERVER} 3>/dev/null &
  server=$!; mounted
}
ours() {
  mounting
  left=$(ls -A "$workdir/work")
  if [ -n "$left" ]; then echo "left in the workdir of a new mount: $left"; exit 1; fi
  looked "a new mount of ours"; unmounting
}
theirs() { ${elsewhere} & mounted; looked "another file system"; unmounting; }
before() {
    cd "$work/merged/t" || exit 2
${says(program.slice(0, -last)) || "    :"}
    cd /
}
after() {
    cd "$work/merged/t" || exit 2
${says(program.slice(-last)) || "    :"}
    cd /
}
for kill in ${killAt}${canBeElsewhere ? " $(seq 0 9)" : ""}; do
  rm -rf "$upper" "$workdir"; mkdir -m 755 "$upper" "$workdir"
${program.length > last ? "  mounting; before > /dev/null; unmounting" : "  :"}
  killing; after > "$work/answers"
  kill -9 $server 2>/dev/null; wait $server 2>/dev/null; unmounting
  grep -qE "not connected|connection abort" "$work/answers" || break
  ${killAt % 2 === 0 ? "ours; theirs" : "theirs; ours"}
done
: > "$work/expected"; : > "$work/found"`;
}

/** What has no time of its own was changed now. */
function stageScript(tree: Tree, at: number): string {
  const isNow = (path: string): boolean => tree.inodes[tree.names.get(path) ?? 0]?.mtime === "now";
  const calls = callsFor(tree).filter((call) => call.do !== "utimens" || !isNow(call.path));
  return `mkdir -p "$work/stage${at}/t" && chmod 755 "$work/stage${at}/t" && cd "$work/stage${at}/t"
${calls.map(commandOf).join("\n")}
cd /`;
}
