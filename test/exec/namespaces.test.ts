/** Namespaces: this host's, another container's, and user namespaces with ids of their own. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";

const ALL = ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"];
const LIST = `for n in ${ALL.join(" ")}; do readlink /proc/self/ns/$n; done`;
const MAPPED = ["--uidmap", "0:100000:65536"];

function links(store: ContainerStore, ...options: readonly string[]): readonly string[] {
  return store.shell(LIST, ...options).split("\n");
}

/** Which of the namespaces two lists have in common. */
function shared(some: readonly string[], others: readonly string[]): readonly string[] {
  return ALL.filter((_, at) => some[at] === others[at]);
}

test("each of the eight namespaces is the container's own or this host's, as is asked", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const host = ALL.map((name) => readlinkSync(`/proc/self/ns/${name}`));
  const withHost = (...options: readonly string[]): readonly string[] => shared(links(store, ...options), host);
  assert.deepEqual(withHost(), ["user", "time"]);
  assert.deepEqual(withHost(...MAPPED, "--timens", "private"), []);
  for (const [option, name] of [
    ["--pid", "pid"],
    ["--ipc", "ipc"],
    ["--uts", "uts"],
    ["--cgroupns", "cgroup"],
    ["--network", "net"],
  ] as const) {
    assert.deepEqual(withHost("--timens", "private", ...MAPPED, option, "host"), [name], option);
  }
  const all = ["--pid", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host", "--network", "host"];
  assert.deepEqual(withHost(...all), ALL.slice(1));
  assert.equal(store.shell("hostname", "--uts", "host"), readFileSync("/proc/sys/kernel/hostname", "utf8").trim());
  assert.match(store.shell("ls /proc", "--pid", "host", ...MAPPED), new RegExp(`^${process.pid}$`, "m"));
});

test("a container joins every namespace of another but the mounts, and its processes end with it", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const script = `${LIST} >/dev/shm/own; hostname >/dev/shm/name; sleep 1000`;
  const own = ["--ipc", "shareable", "--timens", "private", ...MAPPED];
  store.ok("run", "-d", "--name", "first", ...own, "bb:1", "sh", "-c", script);
  const joining = ["pid", "ipc", "uts", "userns", "timens"].flatMap((name) => [`--${name}`, "container:first"]);
  const words = store.shell(
    `until test -s /dev/shm/name; do sleep 0.05; done; ${LIST} >/own
     grep -cxFf /own /dev/shm/own; grep -c sleep /proc/1/cmdline; cat /dev/shm/name; sleep 1001 & touch /made; stat -c %u /made`,
    ...joining,
  );
  assert.equal(words, "5\n1\nfirst\n0");
  assert.doesNotMatch(store.shell("ps", "--pid", "container:first"), /1001/, "what it left behind has ended");
  const foreign = store.inside(["--pid", "container:first", "--uidmap", "0:300000:9", "bb:1", "true"]);
  assert.match(foreign.stderr, /join that too, with --userns container:NAME .*ERR_NAMESPACE_OWNER/);
  store.ok("rm", "-f", "first");
  assert.deepEqual(tracesOf(store), []);
});

test("only a container that runs, and whose IPC namespace is shareable, is joined", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  store.ok("run", "-d", "--name", "first", "bb:1", "sleep", "1000");
  const refused = (words: RegExp, ...options: readonly string[]): void => {
    const { exitCode, stderr } = store.inside([...options, "bb:1", "true"]);
    assert.equal(exitCode, 125, options.join(" "));
    assert.match(stderr, words);
  };
  refused(/it is private; make that one with --ipc shareable .*ERR_IPC_PRIVATE/, "--ipc", "container:first");
  refused(/nothing|no snapshot.*ERR_SNAPSHOT_NOT_FOUND/, "--pid", "container:nobody");
  store.ok("stop", "-t", "0", "first");
  refused(/it is not running; start it first.*ERR_CONTAINER_STOPPED/, "--pid", "container:first");
  refused(/neither private, host nor container:NAME .*ERR_NAMESPACE/, "--pid", "hosts");
  refused(/neither private nor host .*ERR_NAMESPACE/, "--cgroupns", "container:first");
  refused(/--hostname takes a UTS namespace of its own/, "--uts", "host", "--hostname", "me");
  refused(/--uidmap makes a user namespace/, "--userns", "host", ...MAPPED);
  refused(/the container's id 0 is in no range/, "--uidmap", "1:100000:10");
  refused(/two ranges overlap/, "--uidmap", "0:100000:10", "--uidmap", "5:200000:10");
  refused(/the user namespace has no such id;.*ERR_ID_NOT_MAPPED/, "--uidmap", "0:100000:10", "-u", "app");
  refused(/ERR_TIME_OFFSET/, "--time-offset", "realtime=5");
  refused(/ERR_KEEP_ID/, "--userns", "keep-id");
  assert.deepEqual(tracesOf(store), []);
});

test("in a user namespace files have the image's owners, on disk too, by kernel overlayfs", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const script = `touch /x; chown 1000:77 /x; mknod /pipe p; ln /x /y; rm -r /home; mkdir /home; echo >>/etc/passwd
    stat -c '%n %u:%g' / /x /pipe /etc/passwd /etc/hosts /dev/shm; grep -c ' / overlay ' /proc/mounts; cat /proc/self/gid_map
    su app -c 'touch /tmp/app; stat -c %u:%g /tmp/app'`;
  assert.equal(
    store.ok("run", "--name", "mapped", ...MAPPED, "bb:1", "sh", "-c", `chmod 1777 /tmp; ${script}`),
    `/ 0:0\n/x 1000:77\n/pipe 0:0\n/etc/passwd 0:0\n/etc/hosts 0:0\n/dev/shm 0:0\n1\n         0     100000      65536\n1000:1000`,
  );
  const [id = ""] = spawnSync("ls", [join(store.root, "snapshots")], { encoding: "utf8" }).stdout.split("\n");
  const { uid, gid } = statSync(join(store.root, "snapshots", id, "fs", "x"));
  assert.deepEqual([uid, gid], [1000, 77]);
  store.ok("commit", "mapped", "bb:mapped");
  const committed = store.inside(["--uidmap", "0:200000:2000", "bb:mapped", "stat", "-c", "%u:%g", "/x", "/tmp/app"]);
  assert.equal(committed.stdout.toString(), "1000:77\n1000:1000\n");
  assert.deepEqual(tracesOf(store), []);
});

test("root of a user namespace is nobody on this host: volumes and devices are closed to it", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const secret = join(store.path, "secret");
  writeFileSync(secret, "secret", { mode: 0o600 });
  const script = "cat /s; echo x >/s; chown 0:0 /s; mknod /dev/disk b 8 0; mount -t tmpfs t /tmp; hostname other; true";
  const { stdout, stderr } = store.inside([
    ...[...MAPPED, "--cap-add", "ALL", "-v", `${secret}:/s`, "bb:1"],
    ...["sh", "-c", `${script}; hostname`],
  ]);
  assert.match(
    stderr,
    /can't open '\/s': Permission denied.*can't create \/s: Permission denied.*mknod: .*not permitted/s,
  );
  assert.equal(stdout.toString(), "other\n", "in namespaces of its own it may do as root does");
  assert.equal(readFileSync(secret, "utf8"), "secret");
});

test("free ids for --userns auto are those of /etc/subuid that no running container has", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const script = `echo containers:1000000:131072 >"$2/sub"
    for f in subuid subgid; do touch /etc/$f; mount --bind "$2/sub" /etc/$f; done
    run() { "$0" --root "$1" run "$@"; }
    "$0" --root "$1" run -d --name first --userns auto bb:1 sleep 1000
    "$0" --root "$1" run --rm --userns auto bb:1 cat /proc/self/uid_map
    "$0" --root "$1" run --rm --userns auto:size=65537 bb:1 true
    "$0" --root "$1" run --rm --subuidname containers bb:1 cat /proc/self/gid_map
    "$0" --root "$1" run --rm --subuidname nobody-has-this bb:1 true; "$0" --root "$1" rm -f first`;
  const { stdout, stderr } = spawnSync("unshare", ["-m", "sh", "-c", script, LAYERCTL, store.root, store.path], {
    encoding: "utf8",
  });
  const map = (host: number, size: number): string =>
    `${"0".padStart(10)} ${String(host).padStart(10)} ${String(size).padStart(10)}`;
  assert.equal(stdout, `first\n${map(1_065_536, 65_536)}\n${map(1_000_000, 131_072)}\nfirst\n`, stderr);
  assert.match(stderr, /Cannot give 65537 ids .*no such range is left.*ERR_NO_SUBIDS/);
  assert.match(stderr, /\/etc\/subuid has none for "nobody-has-this"; add a line/);
  assert.deepEqual(tracesOf(store), []);
});

test("clocks of a time namespace are shifted as asked", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const before = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]);
  const uptime = (...options: readonly string[]): number =>
    Number(store.shell("cat /proc/uptime", ...options).split(" ")[0]);
  assert.ok(uptime("--time-offset", "boottime=1000000") > before + 1_000_000);
  assert.ok(
    uptime("--time-offset", "monotonic=5", "--time-offset", "boottime=2000000", ...MAPPED) > before + 2_000_000,
  );
});

for (const runtime of ["crun", "runc"] as const) {
  test(`${runtime} gives the same namespaces and ids`, {
    skip: needsContainers || requires(`program:${runtime}`),
  }, async () => {
    await using store = busyboxStore();
    store.ok(
      "run",
      "-d",
      "--name",
      "first",
      "--ipc",
      "shareable",
      ...MAPPED,
      "bb:1",
      "sh",
      "-c",
      "echo hi >/dev/shm/x; sleep 1000",
    );
    const by = ["--runtime", runtime];
    const ids = "stat -c %u:%g / /etc/hosts /bin/busybox; cat /proc/self/uid_map; touch /x && stat -c %u:%g /x";
    assert.equal(store.shell(ids, ...by, ...MAPPED), store.shell(ids, ...MAPPED));
    const host = ALL.map((name) => readlinkSync(`/proc/self/ns/${name}`));
    assert.deepEqual(shared(links(store, ...by, "--pid", "host", "--uts", "host"), host), [
      "pid",
      "uts",
      "user",
      "time",
    ]);
    assert.equal(store.shell("until cat /dev/shm/x; do sleep 0.05; done", ...by, "--ipc", "container:first"), "hi");
    store.ok("rm", "-f", "first");
    assert.deepEqual(tracesOf(store), []);
  });
}
