/**
 * The files that are the container's and not the image's: /etc/hosts, /etc/hostname and /etc/resolv.conf. They lie beside
 * the snapshot's upperdir and are mounted over the stubs of its init layer, so that no diff or commit sees them.
 */

import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isErrno } from "../../src/errors.ts";
import type { Mount } from "../../src/exec/runtime-spec.ts";
import { type IdMappings, rootOf } from "../../src/mount/id-mapping.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import type { Network } from "./options.ts";

const HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

export interface OwnFiles {
  readonly hostname: string;
  readonly network: Network;
  /** Of the container's user namespace: the files are its root's. */
  readonly ids: IdMappings | null;
}

/** Writes the files into `directory`, which is made, and returns how they are mounted. @throws a system error */
export function writeOwnFiles(directory: HostPath, { hostname, network, ids }: OwnFiles): readonly Mount[] {
  const owner = ids === null ? null : rootOf(ids);
  mkdirSync(bytesOf(directory), { recursive: true, mode: 0o700 });
  const files = {
    hosts: network === "host" ? hostFile("/etc/hosts", HOSTS) : `${HOSTS}127.0.0.1\t${hostname}\n`,
    hostname: `${hostname}\n`,
    "resolv.conf": hostFile("/etc/resolv.conf", ""),
  };
  return Object.entries(files).map(([name, text]) => {
    const path = joinHost(directory, name);
    writeFileSync(bytesOf(path), text, { mode: 0o644 });
    if (owner !== null) chownSync(bytesOf(path), owner.uid, owner.gid);
    return {
      destination: `/etc/${name}`,
      type: "bind",
      source: bytesOf(path).toString(),
      options: ["rbind", "rprivate"],
    };
  });
}

function hostFile(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES")) return otherwise;
    throw error;
  }
}
