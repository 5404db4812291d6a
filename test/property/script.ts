/**
 * A case as a shell script that anybody can run without this project: it makes the layers, mounts them with mount(8) or the
 * subject's command, makes the calls there and in a plain directory, and shows where the two differ.
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bytesOf } from "../../src/paths.ts";
import { FALLOCATE } from "../conformance/calls.ts";
import type { Finding } from "./batch.ts";
import type { Case } from "./generate/case.ts";
import { callsFor } from "./lay-out.ts";
import { type Call, callText } from "./model/call.ts";
import { type Layer, merged, notationOf } from "./model/layers.ts";
import type { Subject } from "./subjects.ts";
import { RENAME_FLAGS, timeNs, XATTR_FLAGS } from "./system-calls.ts";

const CALLS = fileURLToPath(new URL("script-calls.py", import.meta.url));

/** Exits with 0 if mount and directory behave the same, with 1 and a diff if they do not. */
export function scriptOf(subject: Subject, { layers, program }: Case, finding: Finding, seed: number): string {
  const lowerdirs = layers.map((_, index) => `$work/lower${index}`).reverse();
  const command = (subject.command ?? "true")
    .replaceAll("%L", lowerdirs.join(":"))
    .replace("%U", "$work/upper")
    .replace("%W", "$work/work")
    .replace("%M", "$work/merged");
  const comment = (text: string): string => text.replaceAll("\n", " ");
  return `#!/bin/bash
# ${comment(finding.property)}
#   expected: ${comment(finding.expected)}
#   found:    ${comment(finding.found)}
# Found in ${subject.name} with seed ${seed}. Layers, base first:
${layers.map((layer) => `#   "${comment(notationOf(layer))}"`).join("\n")}
# Needs bash, coreutils, attr, python3. Exit 0: mount and plain directory behave alike; 1: they differ, as shown.
export LC_ALL=C
umask 000
work=$(mktemp -d); since=$(date +%s)
trap 'cd /; umount -l "$work/merged" 2>/dev/null; rm -rf "$work"' EXIT
mkdir -m 755 "$work"/{${[...layers.keys()].map((index) => `lower${index}`).join(",")}${layers.length > 0 ? "," : ""}upper,work,merged,plain}

cat > "$work/calls.py" <<'END'
${readFileSync(CALLS, "utf8")}END
calls() { python3 "$work/calls.py" "$@"; }
# What a command answers: "done", what it prints, or the words of its errno.
say() { what=$1; shift; if out=$("$@" 2>&1); then echo "$what = \${out:-done}"; else echo "$what = \${out##*: }"; fi; }

${layers.map((layer, index) => `mkdir -m 755 "$work/lower${index}/t" && cd "$work/lower${index}/t"\n${layerScript(layer, subject)}`).join("\n")}
mkdir -m 755 "$work/plain/t" && cd "$work/plain/t"
${callsFor(merged(layers)).map(commandOf).join("\n")}
lower() { find "$work"/lower[0-9]* -printf '%P %i %C@\\n' | sort; }
lower > "$work/lower.before"

mounting() {
  ${command} &
  for try in $(seq 100); do mountpoint -q "$work/merged" && return; sleep 0.1; done
  echo "it did not mount"; exit 2
}
program() {
  cd "$1/t" || exit 2
  calls tree "$since" .
${program.map((step) => `  say ${quoted(callText(step))} ${commandOf(step)}`).join("\n")}
  calls tree "$since" .
  cd /
}
program "$work/plain" > "$work/expected"
cd /; mounting
program "$work/merged" > "$work/found"
umount "$work/merged" || umount -l "$work/merged"; sleep 0.5; mounting
(cd "$work/plain/t" && calls tree "$since" .) >> "$work/expected"
(cd "$work/merged/t" && calls tree "$since" .) >> "$work/found"
lower > "$work/lower.after"
diff "$work/expected" "$work/found" && diff "$work/lower.before" "$work/lower.after" && echo "no difference"
`;
}

/** In the directory of the layer. Times come last, since a mark sets that of its directory. */
function layerScript({ tree, whiteouts, opaque }: Layer, { namespace }: Subject): string {
  const calls = callsFor(tree);
  const isTime = ({ do: verb }: Call): boolean => verb === "utimens";
  return [
    ...calls.filter((call) => !isTime(call)).map(commandOf),
    ...[...whiteouts].map((path) => `mknod ${quoted(path)} c 0 0`),
    ...[...opaque].map((path) => `setfattr -n ${namespace}.overlay.opaque -v y ${quoted(path || ".")}`),
    ...calls.filter(isTime).map(commandOf),
  ].join("\n");
}

/** One call as a command. */
function commandOf(call: Call): string {
  const path = "path" in call ? quoted(call.path || ".") : "";
  switch (call.do) {
    case "create":
    case "mkdir":
      return `calls ${call.do} ${path} ${call.mode.toString(8)}`;
    case "mkfifo":
      return `mkfifo -m ${call.mode.toString(8)} ${path}`;
    case "replace":
    case "append":
      return `calls ${call.do} ${path} ${quotedText(call.text)}`;
    case "write":
      return `calls write ${path} ${quotedText(call.text)} ${call.offset}`;
    case "truncate":
      return `calls truncate ${path} ${call.size}`;
    case "allocate":
      return `calls allocate ${path} ${FALLOCATE[call.how]} ${call.offset} ${call.length}`;
    case "symlink":
      return `ln -sT ${quoted(call.target)} ${path}`;
    case "link":
      return `calls link ${quoted(call.from)} ${quoted(call.to)}`;
    case "rename":
      return `calls rename ${quoted(call.from)} ${quoted(call.to)} ${RENAME_FLAGS[call.how]}`;
    case "unlink":
    case "rmdir":
      return `${call.do} ${path}`;
    case "chmod":
      return `chmod ${call.mode.toString(8).padStart(5, "0")} ${path}`;
    case "chown":
      return `chown -h ${call.uid}:${call.gid} ${path}`;
    case "utimens":
      return `calls utimens ${path} ${timeNs(call.mtime)}`;
    case "setxattr":
      return `calls setxattr ${path} ${quoted(call.name)} ${quotedText(call.value)} ${XATTR_FLAGS[call.how]}`;
    case "removexattr":
      return `setfattr -h -x ${quoted(call.name)} ${path}`;
    case "read":
      return `md5sum < ${path}`;
    case "list":
      return `ls -A -b ${path}`;
    case "stat":
      return `stat -c '%F %a %u:%g' ${path}`;
    case "map":
    case "unlink open":
    case "write open":
      return `calls ${quoted(call.do)} ${path} ${quotedText(call.text)}`;
    case "list changing":
      return `calls "list changing" ${path} ${quoted(call.made)} ${quoted(call.removed)}`;
  }
}

/** A word of a command; paths that begin with "-" are no options. */
function quoted(text: string): string {
  const word = text.startsWith("-") ? `./${text}` : text;
  if (/^[\w./+:@,-]+$/.test(word)) return word;
  return `$'${word.replace(/[^\x20-\x26\x28-\x5b\x5d-\x7e]/g, (byte) => `\\x${(bytesOf(byte)[0] ?? 0).toString(16).padStart(2, "0")}`)}'`;
}

/** Content: no word of a command can have a NUL, so it is written as \0; long runs are made by printf. */
function quotedText(text: string): string {
  const parts = text.split(/(\0{20,})/);
  return parts
    .map((part, at) => {
      if (at % 2 === 1) return `"$(printf '\\\\0%.0s' $(seq ${part.length}))"`;
      return part === "" && parts.length > 1 ? "" : quotedBytes(part);
    })
    .join("");
}

function quotedBytes(text: string): string {
  return text === ""
    ? "''"
    : `$'${[...bytesOf(text)].map((byte) => (byte === 0 ? "\\\\0" : `\\x${byte.toString(16).padStart(2, "0")}`)).join("")}'`;
}
