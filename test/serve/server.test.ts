/** The server around the service: who may call, what it makes of nonsense, how it starts and ends. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { servedStore, startServing } from "../helpers/served-store.ts";
import { failsWith, SnapshotsClient } from "../helpers/snapshots-client.ts";

const skip = requires("root", "overlay");
const needsPython = requires("root", "overlay", "program:python3");

/** What HTTP over a unix socket answers: status and body. */
async function get(socketPath: string, path: string): Promise<string> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ socketPath, path }, resolve).on("error", reject).end();
  });
  let body = "";
  for await (const text of response.setEncoding("utf8")) body += text;
  return `${response.statusCode} ${body}`;
}

test("requests that are none get an error, and the next one its answer", { skip }, async () => {
  await using served = await servedStore();
  const { client } = served;
  await client.prepare("a");
  const field = (number: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
  const nonsense = [
    Buffer.from("no protobuf at all"),
    Buffer.from([0x12, 0x7f]), // a string that ends before its length
    Buffer.from([0x12]),
    Buffer.from([0x10, 0x01]), // a key that is a number
    Buffer.alloc(64, 0xff),
    field(2, Buffer.from([0xff, 0xfe])), // no UTF-8
    Buffer.alloc(20_000, 0x13), // groups in groups
  ];
  for (const bytes of nonsense) {
    for (const method of ["Prepare", "View", "Mounts", "Commit", "Remove", "Stat", "Update", "Usage"]) {
      await assert.rejects(
        client.raw(method, bytes),
        failsWith("INVALID_ARGUMENT"),
        `${method} ${bytes.toString("hex", 0, 20)}`,
      );
    }
  }
  await assert.rejects(client.raw("Stat", Buffer.alloc(2 << 20)), failsWith("RESOURCE_EXHAUSTED"));
  await assert.rejects(client.raw("Nothing", Buffer.alloc(0)), failsWith("UNIMPLEMENTED"));
  const unknown = Buffer.concat([field(2, Buffer.from("a")), field(99 & 15, Buffer.from("later"))]);
  assert.ok((await client.raw("Stat", unknown)).length > 0, "a field of a later version is passed over");
  for (const bytes of [
    "GET / HTTP/1.1\r\n\r\n",
    "\0".repeat(100),
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n garbage garbage garbage",
  ]) {
    const socket = connect(served.socket);
    socket.on("error", () => {});
    socket.end(bytes);
    await once(socket.resume(), "close");
  }
  assert.equal((await client.stat("a")).name, "a");
  assert.deepEqual(
    (await client.list()).infos.map(({ name }) => name),
    ["a"],
  );
});

test("the socket is the server's alone, and another user is turned away even where the file lets him", {
  skip,
}, async () => {
  await using served = await servedStore();
  chmodSync(served.path, 0o755);
  const { mode, uid } = statSync(served.socket);
  assert.deepEqual([mode & 0o777, uid], [0o600, 0]);
  chmodSync(served.socket, 0o666);
  // The greeting of HTTP/2, and what comes back.
  const speak = `
import os, socket, sys
os.setgroups([int(gid) for gid in sys.argv[2:]])
os.setgid(65534)
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
    s.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + b"\\0\\0\\0\\4\\0\\0\\0\\0\\0")
    print("answered" if s.recv(1) else "closed")
except OSError as error:
    print(type(error).__name__)
`;
  const asNobody = (...groups: readonly string[]): string =>
    spawnSync("python3", ["-c", speak, served.socket, ...groups], { encoding: "utf8" }).stdout.trim();
  assert.match(asNobody(), /^(closed|ConnectionResetError|BrokenPipeError)$/);
  assert.equal(await served.serving.end("SIGTERM"), 0);
  assert.match(served.serving.log(), /serve\.peer\.refused.*uid=65534/);
  await served.restart("--mode", "660", "--group", "4242");
  const { mode: wider, gid } = statSync(served.socket);
  assert.deepEqual([wider & 0o777, gid], [0o660, 4242]);
  assert.equal(asNobody("4242"), "answered", "a member of the group may call");
  assert.equal(asNobody(), "PermissionError");
});

test("a socket that nobody serves is replaced, and nothing else is", { skip: needsPython }, async () => {
  await using served = await servedStore();
  const again = (): string => {
    const { stderr, status } = spawnSync(LAYERCTL, ["--root", served.root, "serve", "--containerd", served.socket], {
      encoding: "utf8",
      timeout: 30_000,
    });
    return `${status} ${stderr}`;
  };
  assert.match(again(), /^4 .*another process serves it/);
  await served.client.prepare("a");
  assert.equal(await served.serving.end("SIGKILL"), "SIGKILL");
  assert.ok(existsSync(served.socket), "a killed server leaves its socket");
  await served.restart();
  assert.equal((await served.client.stat("a")).kind, "ACTIVE");
  assert.equal(await served.serving.end("SIGTERM"), 0);
  assert.ok(!existsSync(served.socket));
  writeFileSync(served.socket, "precious");
  assert.match(again(), /^4 .*something else than a socket/);
  assert.equal(statSync(served.socket).size, 8);
  spawnSync("rm", [served.socket]);
  await served.restart();
});

test("SIGTERM answers what has been asked, and then ends with 0", { skip }, async () => {
  await using served = await servedStore();
  const { client } = served;
  await client.prepare("warm");
  const asked = Array.from({ length: 100 }, (_, index) => client.prepare(`k${index}`).then(() => index));
  const ended = served.serving.end("SIGTERM");
  const outcomes = await Promise.allSettled(asked);
  assert.equal(await ended, 0);
  await served.restart();
  const made = new Set((await client.list()).infos.map(({ name }) => name));
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") assert.ok(made.has(`k${outcome.value}`), "what was answered is there");
  }
});

test("/metrics counts requests and snapshots, /health says ok", {
  skip: skip === false ? requires("program:curl") : skip,
}, async () => {
  await using store = temporaryStore();
  const [socket, http] = [join(store.path, "s.sock"), join(store.path, "m.sock")];
  const serving = await startServing(store.root, "--containerd", socket, "--metrics", http);
  try {
    using client = new SnapshotsClient(socket);
    await client.prepare("a");
    await assert.rejects(client.prepare("a"), failsWith("ALREADY_EXISTS"));
    assert.equal(await get(http, "/health"), "200 ok\n");
    const metrics = await get(http, "/metrics");
    for (const line of [
      'layerctl_requests_total{method="Prepare",code="OK"} 1',
      'layerctl_requests_total{method="Prepare",code="ALREADY_EXISTS"} 1',
      'layerctl_request_seconds_count{method="Prepare"} 2',
      'layerctl_snapshots{kind="active"} 1',
      "layerctl_requests_in_flight 0",
    ]) {
      assert.ok(metrics.includes(`\n${line}\n`), `${line} is not in ${metrics}`);
    }
    assert.match(await get(http, "/other"), /^404/);
    assert.equal(statSync(http).mode & 0o777, 0o600);
  } finally {
    assert.equal(await serving.end("SIGTERM"), 0);
  }
  assert.ok(!existsSync(http));
});

test("sockets that systemd opened are used, and it is told of start and stop", {
  skip: skip === false ? requires("program:python3") : skip,
}, async () => {
  await using store = temporaryStore();
  mkdirSync(join(store.path, "run"));
  const [socket, told] = [join(store.path, "run", "s.sock"), join(store.path, "notify")];
  // What systemd does: listens, hands the sockets over from descriptor 3 on, and hears datagrams.
  const manager = `
import ctypes, os, socket, sys
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); notify.bind(sys.argv[2])
notify.settimeout(60)
listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); listening.bind(sys.argv[1]); listening.listen(5)
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(1, 9) # PR_SET_PDEATHSIG
    os.dup2(listening.fileno(), 3, inheritable=True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", NOTIFY_SOCKET=sys.argv[2])
    os.execv(sys.argv[3], sys.argv[3:])
for _ in range(2):
    print(notify.recv(4096).decode(), child, flush=True)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
`;
  const args = ["-c", manager, socket, told, LAYERCTL, "--root", store.root, "serve", "--containerd", socket];
  const systemd = spawn("python3", args, { stdio: ["ignore", "pipe", "inherit"] });
  const lines = systemd.stdout.setEncoding("utf8")[Symbol.asyncIterator]() as AsyncIterator<string>;
  let said = "";
  const lineAfter = async (count: number): Promise<string> => {
    while (said.split("\n").length <= count) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`it ended after ${said}`);
      said += value;
    }
    return said.split("\n")[count - 1] ?? "";
  };
  try {
    const [state, pid] = (await lineAfter(1)).split(" ");
    assert.equal(state, "READY=1");
    using client = new SnapshotsClient(socket);
    await client.prepare("a");
    process.kill(Number(pid), "SIGTERM");
    assert.equal(await lineAfter(2), `STOPPING=1 ${pid}`);
    assert.equal(await lineAfter(3), "0");
    assert.ok(existsSync(socket), "the socket is systemd's");
  } finally {
    systemd.kill("SIGKILL"); // its child gets SIGKILL too
  }
});

test("a store that containerd cannot mount from is refused", { skip }, () => {
  const run = (root: string): string => {
    const { stderr, status } = spawnSync(LAYERCTL, ["--root", root, "serve", "--containerd", "/nowhere/s.sock"], {
      encoding: "utf8",
      timeout: 30_000,
    });
    return `${status} ${stderr}`;
  };
  const store = temporaryStore();
  try {
    assert.match(run(join(store.path, "a:b")), /^6 .*its path must be/);
    assert.match(run(store.root), /^7 .*\/nowhere/);
  } finally {
    store.remove();
  }
});
