/** A user namespace that is made before anything is in it: mounts are mapped by it, and the container joins it. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, writeFileSync } from "node:fs";
import { UnsupportedError } from "../errors.ts";
import { formatMap, type IdMappings } from "../mount/id-mapping.ts";
import { program, SHELL } from "./host-program.ts";

/**
 * Makes a user namespace with these mappings: its descriptor, which the caller closes. The process that it takes for that
 * ends before this settles, and a process that the caller's death leaves behind ends at once.
 * @throws {UnsupportedError} `ERR_USER_NAMESPACE` if this host makes none, or not with these ids
 */
export async function makeUserNamespace({ uids, gids }: IdMappings): Promise<number> {
  const words: string[] = [];
  const child = spawn(program("unshare"), ["--user", "--", SHELL, "-c", "printf r && read -r end"], {
    stdio: ["pipe", "pipe", "pipe"],
    cwd: "/",
    env: {},
  });
  child.stderr.on("data", (bytes: Buffer) => words.push(bytes.toString()));
  child.stdin.on("error", () => {}); // its end says more
  const ended = once(child, "close");
  try {
    const isReady = await Promise.race([once(child.stdout, "data").then(() => true), ended.then(() => false)]);
    if (!isReady)
      throw new UnsupportedError("ERR_USER_NAMESPACE", `Cannot make a user namespace: ${words.join("").trim()}`);
    writeFileSync(`/proc/${child.pid}/gid_map`, formatMap(gids));
    writeFileSync(`/proc/${child.pid}/uid_map`, formatMap(uids));
    return openSync(`/proc/${child.pid}/ns/user`, "r");
  } catch (error) {
    if (error instanceof UnsupportedError) throw error;
    const message = `Cannot make a user namespace: the kernel refuses the ids ${JSON.stringify({ uids, gids })}`;
    throw new UnsupportedError("ERR_USER_NAMESPACE", message, { cause: error });
  } finally {
    child.stdin.destroy();
    await ended;
  }
}
