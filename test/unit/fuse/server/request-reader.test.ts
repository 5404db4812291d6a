import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { test } from "node:test";
import { RequestReader } from "../../../../fuse/server/request-reader.ts";
import { O_NONBLOCK } from "../../../../src/sys/file.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

/** Whether reading from an open file does not wait (proc_pid_fdinfo(5)): the reader looks. */
function isLooking(fd: number): boolean {
  const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1] ?? "";
  return (Number.parseInt(flags, 8) & O_NONBLOCK) !== 0;
}

test("requests that follow one another are looked for, and when none comes any more the thread sleeps", async () => {
  await using directory = temporaryDirectory();
  const path = directory.host("device"); // a fifo has no requests, but what comes is waited for in the same way
  execFileSync("mkfifo", [path]);
  const fd = openSync(path, "r+");
  try {
    const request = Buffer.alloc(1);
    const reader = new RequestReader(fd, request);
    const take = (): string => request.toString("latin1", 0, reader.read());
    assert.equal(isLooking(fd), false);
    writeSync(fd, "x".repeat(1000));
    let left = 1000;
    for (; left > 0 && !isLooking(fd); left--) assert.equal(take(), "x");
    assert.equal(isLooking(fd), true);
    for (; left > 0; left--) assert.equal(take(), "x");
    spawn("sh", ["-c", 'for c in a b c d; do sleep 0.1; printf $c; done >"$0"', path], { stdio: "ignore" });
    assert.equal([take(), take(), take(), take()].join(""), "abcd");
    assert.equal(isLooking(fd), false);
  } finally {
    closeSync(fd);
  }
});
