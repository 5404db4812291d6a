import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

const MODULE = JSON.stringify(new URL("../../../cli/signals.ts", import.meta.url).href);

/** Runs `body` with a Cancellation `cancellation`, sends SIGINT when it has printed a line, and tells how it ended. */
async function interrupted(body: string): Promise<{ code: number | null; signal: string | null; printed: string }> {
  const script = `const { Cancellation } = await import(${MODULE});
    const cancellation = new Cancellation();
    const { writeSync } = await import("node:fs");
    const say = (text) => writeSync(1, text + "\\n");
    ${body}`;
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", script];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.on("data", (data: Buffer) => {
    if (printed === "") child.kill("SIGINT");
    printed += data.toString();
  });
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return { code, signal, printed };
}

test("a signal aborts, and the command ends when it has cleaned up", async () => {
  const ended = await interrupted(`
    cancellation.signal.addEventListener("abort", () => {
      say(String(cancellation.signal.reason.exitCode));
      process.exit(cancellation.signal.reason.exitCode);
    });
    setTimeout(() => {}, 60_000);
    say("ready");`);
  assert.deepEqual(ended, { code: 130, signal: null, printed: "ready\n130\n" });
});

test("a signal ends long synchronous work at once, which could not hear it", async () => {
  const ended = await interrupted(`cancellation.endOnSignal(() => { say("ready"); for (;;); });`);
  assert.deepEqual(ended, { code: null, signal: "SIGINT", printed: "ready\n" });
});

test("after synchronous work a signal aborts again", async () => {
  const ended = await interrupted(`
    cancellation.endOnSignal(() => 5);
    cancellation.signal.addEventListener("abort", () => process.exit(7));
    setTimeout(() => {}, 60_000);
    say("ready");`);
  assert.deepEqual(ended, { code: 7, signal: null, printed: "ready\n" });
});
