/** Calls and layers as commands of a shell, with coreutils, attr and `calls.py`. */

import type { OverlayNamespace } from "../../../src/overlay/xattr-names.ts";
import { bytesOf } from "../../../src/paths.ts";
import { FALLOCATE } from "../../conformance/calls.ts";
import { callsFor } from "../lay-out.ts";
import type { Call } from "../model/call.ts";
import type { Layer } from "../model/layers.ts";
import { RENAME_FLAGS, timeNs, XATTR_FLAGS } from "../system-calls.ts";

/** In the directory of the layer. Times come last, since a mark sets that of its directory. */
export function layerScript({ tree, whiteouts, opaque }: Layer, namespace: OverlayNamespace): string {
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
export function commandOf(call: Call): string {
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
export function quoted(text: string): string {
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
