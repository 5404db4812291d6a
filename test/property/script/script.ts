/**
 * A case as a shell script that anybody can run: it makes the layers, mounts them with mount(8) or the subject's command,
 * makes the calls there and in a plain directory, and shows where the two differ. What is found in a diff or an image takes
 * `layerctl` too, and what a crash leaves the server that kills itself.
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Finding } from "../batch.ts";
import type { Case } from "../generate/case.ts";
import { callsFor } from "../lay-out.ts";
import { callText } from "../model/call.ts";
import { merged, notationOf } from "../model/layers.ts";
import { otherThan, type Subject } from "../subjects.ts";
import { commandOf, layerScript, quoted } from "./commands.ts";
import { crashScript } from "./crash-script.ts";
import { squashScript, storeScript } from "./store-script.ts";

const CALLS = fileURLToPath(new URL("calls.py", import.meta.url));
const IMAGE = fileURLToPath(new URL("image.py", import.meta.url));

/** Exits with 0 if mount and directory behave the same, with 1 and a diff if they do not. */
export function scriptOf(subject: Subject, failing: Case, finding: Finding, seed: number): string {
  const { layers, program } = failing;
  const lowerdirs = layers.map((_, index) => `$work/lower${index}`).reverse();
  return `#!/bin/bash
# ${comment(finding.property)}
#   expected: ${comment(finding.expected)}
#   found:    ${comment(finding.found)}
# Found in ${subject.name} with seed ${seed}. Layers, base first:
${layers.map((layer) => `#   "${comment(notationOf(layer))}"`).join("\n")}
# Needs bash, coreutils, attr, python3, and root${subject.name.endsWith("-user") ? " of a user namespace (unshare -Urm)" : ""}.
# Exit 0: mount and plain directory behave alike; 1: they differ, as shown: "<" expected, ">" found.
[ -n "$BASH_VERSION" ] || exec bash "$0" "$@"
export LC_ALL=C
umask 000
work=$(mktemp -d); since=$(date +%s)
trap 'cd /; umount -l "$work/merged" 2>/dev/null; rm -rf "$work"' EXIT
mkdir -m 755 "$work"/{lower{0,1,2,3},upper,work,merged,plain}

cat > "$work/calls.py" <<'END'
${readFileSync(CALLS, "utf8")}END
calls() { python3 "$work/calls.py" "$@"; }
# What a command answers: "done", what it prints, or the words of its errno.
say() { what=$1; shift; if out=$("$@" 2>&1); then echo "$what = \${out:-done}"; else echo "$what = \${out##*: }"; fi; }
tree() { (cd "$1/t" && calls tree "$since" .); }
lower() { find "$work"/lower[0-9]* -printf '%P %i %C@\\n' | sort; }

${layers.map((layer, index) => `mkdir -m 755 "$work/lower${index}/t" && cd "$work/lower${index}/t"\n${layerScript(layer, subject.namespace)}`).join("\n")}
mkdir -m 755 "$work/plain/t" && cd "$work/plain/t"
${callsFor(merged(layers)).map(commandOf).join("\n")}
cd /
lower > "$work/lower.before"

lowers=${lowerdirs.join(":")} upper=$work/upper workdir=$work/work
mounted() {
  for try in $(seq 300); do mountpoint -q "$work/merged" && return; sleep 0.1; done
  echo "it did not mount"; exit 2
}
mounting() {
  ${commandText(subject)} &
  mounted
}
unmounting() {
  umount "$work/merged" 2>/dev/null || umount -l "$work/merged"
  sleep 0.5 # for the server to end
}
program() {
  cd "$1/t" || exit 2
  calls tree "$since" .
${program.map((step) => `  say ${quoted(callText(step))} ${commandOf(step)}`).join("\n")}
  calls tree "$since" .
  cd /
}
${bodyOf(subject, failing, finding)}
lower > "$work/lower.after"
diff "$work/expected" "$work/found" && diff "$work/lower.before" "$work/lower.after" && echo "no difference"
`;
}

function bodyOf(subject: Subject, failing: Case, finding: Finding): string {
  const image = `cat > "$work/image.py" <<'END'\n${readFileSync(IMAGE, "utf8")}END\n`;
  if (finding.stages !== undefined) return crashScript(failing, finding.stages, commandText(otherThan(subject)));
  switch (finding.shownBy) {
    case "store":
      return image + storeScript(failing, subject.name === "store");
    case "squash":
      return image + squashScript();
    case "elsewhere":
      return mountScript(`${commandText(otherThan(subject))} &\nmounted`);
    default:
      return mountScript("mounting");
  }
}

/** The program, and the tree after another mount. */
function mountScript(again: string): string {
  return `program "$work/plain" > "$work/expected"
mounting
program "$work/merged" > "$work/found"
unmounting
${again}
tree "$work/plain" >> "$work/expected"
tree "$work/merged" >> "$work/found"
unmounting`;
}

function commandText({ command }: Subject): string {
  return (command ?? "true")
    .replaceAll("%L", "$lowers")
    .replaceAll("%U", "$upper")
    .replaceAll("%W", "$workdir")
    .replaceAll("%M", "$work/merged");
}

function comment(text: string): string {
  return text.replaceAll("\n", " ");
}
