/**
 * Starts the process that serves a FUSE mount. It is a session of its own with nothing of ours open, so that it lives on
 * when who mounted ends.
 */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { UnsupportedError } from "../errors.ts";
import type { HostPath } from "../paths.ts";
import { SERVER_READY } from "../sys/fuse-device.ts";
import { type PackedError, unpackError } from "../thread-errors.ts";

/** The bundle has the server beside it; a checkout runs the source. */
const SERVER = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../../fuse/server/main.ts" : "./fuse-server.cjs", import.meta.url),
);

export interface FuseMount {
  /** As `-o` takes them, a byte string. */
  readonly options: string;
  readonly target: HostPath;
  /** Where relative paths in the options start. */
  readonly directory: HostPath;
  /** It unmounts, and ends, when the thread that started it does. */
  readonly endsWithCaller?: boolean;
}

/** The mount is live when this settles. @throws what the server says, `ERR_FUSE_SERVER` if it ended without a word */
export async function startFuseServer(mount: FuseMount): Promise<void> {
  const server = spawn(process.execPath, [SERVER], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore", "pipe"],
    cwd: "/",
  });
  const answer = readAll(server.stdio[3]);
  server.stdin?.on("error", () => {}); // a server that ended already says why, or nothing
  server.stdin?.end(JSON.stringify(mount));
  const text = await answer;
  server.unref();
  if (text === SERVER_READY) return;
  if (text !== "") throw unpackError((JSON.parse(text) as { readonly error: PackedError }).error);
  const message = `Cannot mount "${mount.target}": the server ended without saying why (exit code ${server.exitCode})`;
  throw new UnsupportedError("ERR_FUSE_SERVER", message);
}

function readAll(stream: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const pipe = stream as NodeJS.ReadableStream;
    pipe.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
    });
    pipe.on("end", () => resolve(text));
    pipe.on("error", reject);
  });
}
