/** The system calls about the content of files, and through open descriptors. */

import { closeSync, readSync, truncateSync, writeSync } from "node:fs";
import { PosixError } from "../../src/errors.ts";
import { bytesOf, type HostPath } from "../../src/paths.ts";
import { readAt, writeAt } from "../../src/sys/data.ts";
import * as file from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";
import * as calls from "../conformance/calls.ts";
import { read } from "./model/apply-data.ts";
import type { Call, Outcome } from "./model/call.ts";

const AT = file.AT_FDCWD;
/** No call of a program is to wait for another end of a fifo. */
const O_NONBLOCK = file.O_NONBLOCK;

/** @throws a system error, which is the call's answer */
export function performData(path: HostPath, call: Call): Outcome | undefined {
  switch (call.do) {
    case "read":
      return read(contentOf(path));
    case "replace":
      return withFile(path, file.O_WRONLY | file.O_CREAT | file.O_TRUNC, (fd) => writeText(fd, call.text, 0));
    case "write":
      return withFile(path, file.O_WRONLY, (fd) => writeText(fd, call.text, call.offset));
    case "append":
      return withFile(path, file.O_WRONLY | calls.O_APPEND, (fd) => appendText(fd, call.text));
    case "truncate":
      return void truncateSync(bytesOf(path), call.size);
    case "allocate":
      return withFile(path, file.O_RDWR, (fd) => {
        calls.fallocate(fd, calls.FALLOCATE[call.how], call.offset, call.length);
        return undefined;
      });
    case "map":
      return withFile(path, file.O_RDWR, (fd) => map(fd, call.text));
    case "write open":
      return withFile(path, file.O_RDONLY, (reader) => {
        withFile(path, file.O_WRONLY, (fd) => writeText(fd, call.text, 0));
        return read(rest(reader));
      });
    case "unlink open":
      return withFile(path, file.O_RDWR, (fd) => {
        readAt(fd, Buffer.alloc(1), 1, 0); // ESPIPE of a fifo
        file.unlinkAt(AT, path);
        writeText(fd, call.text, 0);
        return read(rest(fd));
      });
    default:
      throw new Error(`no call: ${call.do}`);
  }
}

function withFile(path: HostPath, flags: number, use: (fd: number) => Outcome | undefined): Outcome | undefined {
  const fd = file.openAt(AT, path, flags | O_NONBLOCK, 0o644);
  try {
    return use(fd) ?? undefined;
  } finally {
    closeSync(fd);
  }
}

function writeText(fd: number, text: string, offset: number): undefined {
  const size = writeAt(fd, bytesOf(text), text.length, offset);
  if (size !== text.length) throw new PosixError(5, "a short write");
}

function appendText(fd: number, text: string): undefined {
  writeSync(fd, bytesOf(text));
}

function map(fd: number, text: string): Outcome | undefined {
  if (statAt(fd, null).sizeBytes < text.length) {
    if ((statAt(fd, null).mode & file.S_IFMT) === file.S_IFREG) return "too short";
  }
  using mapping = calls.mapFile(fd, text.length, "shared");
  mapping.write(0, text);
  mapping.sync();
  return undefined;
}

export function contentOf(path: HostPath): string {
  return withFile(path, file.O_RDONLY, rest) ?? "";
}

/** From the file position on. */
function rest(fd: number): string {
  const pieces: string[] = [];
  const buffer = Buffer.alloc(1 << 17);
  for (let size = readSync(fd, buffer); size > 0; size = readSync(fd, buffer)) {
    pieces.push(buffer.toString("latin1", 0, size));
  }
  return pieces.join("");
}
