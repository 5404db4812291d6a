/**
 * /etc/hosts of containers (hosts(5)): their own names, and on the bridge those of the others. The others' lines end with a
 * mark, and are all that is changed while a container runs: what it wrote itself stays.
 */

import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { isErrno } from "../../src/errors.ts";
import { bytesOf, type HostPath } from "../../src/paths.ts";

const LOOPBACK = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;
const MARK = "\t# layerctl";
/** A container may have made of its file whatever it wanted. */
const LIMIT_BYTES = 2 ** 20;

/** An address and the names that it goes by. */
export interface HostLine {
  readonly address: string;
  readonly names: readonly string[];
}

/** The file of a container: `others` are marked as the others' lines. */
export function hostsText(own: readonly HostLine[], others: readonly HostLine[] = []): string {
  return LOOPBACK + linesText(own) + linesText(others, MARK);
}

/** Lines of the file. */
export function linesText(lines: readonly HostLine[], end = ""): string {
  return lines.map(({ address, names }) => `${address}\t${[...new Set(names)].join(" ")}${end}\n`).join("");
}

/**
 * Makes `others` the marked lines of a file that a container has mounted: written in place, for the mount is of the inode. A
 * file that is gone, or too large to be one of names, is left alone.
 * @throws a system error
 */
export function updateHosts(path: HostPath, others: readonly HostLine[]): void {
  let fd: number;
  try {
    fd = openSync(bytesOf(path), constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return;
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    if (size > LIMIT_BYTES) return;
    const before = Buffer.alloc(size);
    const text = before.toString("latin1", 0, readSync(fd, before, 0, size, 0));
    const own = text.split("\n").filter((line) => line !== "" && !line.endsWith(MARK));
    const after = Buffer.from([...own, linesText(others, MARK)].join("\n"), "latin1");
    writeSync(fd, after, 0, after.length, 0);
    ftruncateSync(fd, after.length);
  } finally {
    closeSync(fd);
  }
}
