/** The thread that does what takes long. See `slow-work.ts`. */

import { parentPort } from "node:worker_threads";
import { assertNever } from "../../src/errors.ts";
import { type Database, openDatabase } from "../../src/meta/database.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { AT_FDCWD, S_IFDIR, S_IFMT, S_IFREG } from "../../src/sys/file.ts";
import { removeTree } from "../../src/sys/remove-tree.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { walkTree } from "../../src/sys/walk-tree.ts";
import { packError } from "../../src/thread-errors.ts";
import type { SlowReply, SlowResult, SlowTask, TreeSize } from "./slow-work.ts";

const port = parentPort;
if (port === null) throw new Error("this module is the entry of a worker thread");

/** The root too. Hard links count once. `path` may be a symbolic link. */
function measure(path: HostPath): TreeSize {
  const linked = new Set<bigint>();
  const size = { diskBytes: 0, dataBytes: 0, inodes: 0 };
  const count = (stat: Stat): void => {
    if (stat.nlink > 1 && (stat.mode & S_IFMT) !== S_IFDIR) {
      if (linked.has(stat.ino)) return;
      linked.add(stat.ino);
    }
    size.diskBytes += stat.blocks512 * 512;
    if ((stat.mode & S_IFMT) === S_IFREG) size.dataBytes += Math.min(stat.sizeBytes, stat.blocks512 * 512);
    size.inodes += 1;
  };
  const root = joinHost(path, ".");
  count(statAt(AT_FDCWD, root));
  for (const { stat } of walkTree(root)) count(stat);
  return size;
}

let database: Database | null = null;

function opened(path: HostPath): Database {
  database ??= openDatabase(path);
  return database;
}

function run({ kind, path }: SlowTask): SlowResult {
  switch (kind) {
    case "measure":
      return measure(path);
    case "remove":
      removeTree(path);
      return null;
    case "checkpoint":
      return opened(path).checkpoint();
    case "restart-log":
      opened(path).restartLog();
      return null;
    default:
      return assertNever(kind);
  }
}

port.on("message", (task: SlowTask) => {
  let reply: SlowReply;
  try {
    reply = { id: task.id, result: run(task) };
  } catch (error) {
    reply = { id: task.id, error: packError(error) };
  }
  port.postMessage(reply);
});
