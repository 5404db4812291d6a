/** The boundary of a container: what it sees, what it may, and attempts to get out. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { leaveSessionKeyring } from "../../src/sys/keyring.ts";
import { declare } from "../../src/sys/libc.ts";
import { busyboxStore, needsContainers } from "../helpers/busybox.ts";
import { directory, file, symlink, tar } from "../helpers/tar-builder.ts";

const NAMESPACES = ["mnt", "pid", "ipc", "uts", "cgroup", "net"];

test("every namespace is the container's own; with --network host that one is not", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const list = (...options: readonly string[]): readonly string[] =>
    store.shell(`for n in ${NAMESPACES.join(" ")}; do readlink /proc/self/ns/$n; done`, ...options).split("\n");
  const host = NAMESPACES.map((name) => readlinkSync(`/proc/self/ns/${name}`));
  const shared = (own: readonly string[]): readonly string[] => NAMESPACES.filter((_, at) => own[at] === host[at]);
  assert.deepEqual(shared(list()), []);
  assert.deepEqual(shared(list("--network", "host")), ["net"]);
  assert.equal(store.shell("hostname", "--hostname", "its-own"), "its-own");
  assert.equal(store.shell("ip -o link | wc -l; ping -c1 -w2 127.0.0.1 >/dev/null && echo up"), "1\nup");
});

test("capabilities are docker's default set, and what is added and dropped", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const sets = (...options: readonly string[]): string =>
    store.shell("grep Cap /proc/self/status | cut -f2 | tr '\\n' ' '", ...options).trim();
  const [none, usual] = ["0000000000000000", "00000000a80425fb"];
  assert.equal(sets(), [none, usual, usual, usual, none].join(" "));
  assert.equal(sets("-u", "app"), [none, none, none, usual, none].join(" "));
  assert.equal(sets("--cap-drop", "ALL"), Array(5).fill(none).join(" "));
  assert.match(sets("--cap-drop", "all", "--cap-add", "net_raw"), /^0+ 0{12}2000 /);
  assert.equal(store.shell("grep NoNewPrivs /proc/self/status | cut -f2", "--security-opt", "no-new-privileges"), "1");
});

test("/dev, /proc and /sys are as a container expects them", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  assert.equal(
    store.shell("ls /dev | tr '\\n' ' '").trim(),
    "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
  );
  assert.equal(store.shell("echo x >/dev/null; head -c 3 /dev/zero | wc -c; : >/dev/full || echo full"), "3");
  assert.equal(store.shell("cat /proc/keys /proc/timer_list | wc -c; ls /proc/acpi /sys/firmware | grep -v :"), "0\n");
  for (const path of ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"]) {
    assert.notEqual(store.inside(["bb:1", "sh", "-c", `echo 1 >${path}`]).exitCode, 0, path);
  }
  assert.match(store.shell("cat /etc/hosts; cat /etc/hostname", "--hostname", "me"), /127\.0\.0\.1\tme\nme$/);
  assert.equal(store.shell("cat /etc/resolv.conf"), readFileSync("/etc/resolv.conf", "utf8").replace(/\n$/, ""));
});

test("--read-only, --tmpfs and volumes keep what they promise", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const shared = join(store.path, "shared");
  mkdirSync(join(shared, "below"), { recursive: true });
  writeFileSync(join(shared, "file"), "from outside\n");
  const writable = ["/x", "/t/x", "/rw/x", "/ro/x", "/ro/below/x", "/tmp/x"].map(
    (path) => `touch ${path} 2>/dev/null && echo ${path}`,
  );
  const options = ["--read-only", "--tmpfs", "/t:size=1m", "-v", `${shared}:/rw`, "-v", `${shared}:/ro:ro`];
  assert.equal(store.shell(`${writable.join("; ")}; cat /ro/file`, ...options), "/t/x\n/rw/x\nfrom outside");
  assert.equal(store.shell("cat /a/new/file", "-v", `${join(shared, "file")}:/a/new/file`), "from outside");
  for (const [volume, words] of [
    ["./relative:/x", /absolute/],
    [`${shared}:/`, /cannot be "\/"/],
    [`${shared}:/x:rx`, /neither ro nor rw/],
    [`${shared}:/../x`, /"\.\."/],
    ["/dev:/dev", /the container's own/],
  ] as const) {
    const { exitCode, stderr } = store.inside(["-v", volume, "bb:1", "true"]);
    assert.equal(exitCode, 125, volume);
    assert.match(stderr, words);
  }
});

test("a device that a container makes opens nothing", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  for (const path of ["/disk", "/dev/disk", "/tmp/disk", "/dev/shm/disk"]) {
    const { stderr } = store.inside(["bb:1", "sh", "-c", `mknod ${path} c 1 3 && cat ${path}`]);
    if (path !== "/dev/disk") assert.match(stderr, /Permission denied|Operation not permitted/, path);
  }
  // A disk of the host, by its numbers.
  const [, major, minor] = /^ +(\d+) +(\d+) +\d+ \w+$/m.exec(readFileSync("/proc/partitions", "utf8")) ?? [];
  const read = store.inside(["bb:1", "sh", "-c", `mknod /dev/disk b ${major} ${minor} && head -c 1 /dev/disk`]);
  assert.match(read.stderr, /Permission denied|Operation not permitted/);
});

test("--privileged has the host's devices, also as a volume", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const script =
    "mknod /x c 1 5 && head -c 2 /x | wc -c; grep -c . /proc/keys >/dev/null && echo keys; grep CapEff /proc/self/status";
  assert.match(store.shell(script, "--privileged"), /^2\nkeys\nCapEff:\t[0-9a-f]*f{6}$/);
  const before = readdirSync("/dev");
  assert.equal(store.shell("echo x >/dev/null; head -c 2 /dev/zero | wc -c", "--privileged", "-v", "/dev:/dev"), "2");
  assert.deepEqual(readdirSync("/dev"), before);
});

test("no link of the image leads a mount or a name out of it", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const outside = join(store.path, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "passwd"), "evil:x:0:0::/:/bin/sh\n");
  const layer = tar(
    symlink("data", `../../../../../../../..${outside}`),
    symlink("abs", outside),
    directory("etc/"),
    symlink("etc/passwd", join(outside, "passwd")),
    symlink("self", "/proc/self/exe"),
    file("script", "#!/proc/self/exe\n", { mode: 0o755 }),
  );
  writeFileSync(join(store.path, "evil.tar"), layer);
  store.ok("import", join(store.path, "evil.tar"), "--rootfs", "--name", "evil:1");
  assert.match(store.inside(["-u", "evil", "evil:1", "/x"]).stderr, /ERR_USER_NOT_FOUND/);
  for (const command of ["/self", "/script"]) {
    const { exitCode, stderr } = store.inside(["evil:1", command]);
    assert.ok(exitCode === 126 || exitCode === 127, stderr);
  }
  const source = join(store.path, "source");
  mkdirSync(source);
  symlinkSync(outside, join(source, "link"));
  for (const place of ["/data/made", "/abs/made"]) store.inside(["-v", `${source}:${place}`, "evil:1", "/x"]);
  assert.equal(readFileSync(join(outside, "passwd"), "utf8"), "evil:x:0:0::/:/bin/sh\n");
  assert.throws(() => readFileSync(join(outside, "made")), { code: "ENOENT" });
});

test("a container cannot leave its root, remount it, or reach processes outside", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const mark = join(store.path, "bb.tar");
  const chroot = `mkdir -p /j; chroot /j /bin/true; cd /..; ls -d .${mark}`;
  assert.notEqual(store.inside(["bb:1", "sh", "-c", chroot]).exitCode, 0);
  assert.notEqual(store.inside(["bb:1", "sh", "-c", "mount -o remount,rw /proc/sys"]).exitCode, 0);
  assert.notEqual(store.inside(["bb:1", "sh", "-c", `kill -0 ${process.pid}`]).exitCode, 0);
  assert.equal(store.shell("ls -d /proc/[0-9]* | wc -l"), "3"); // sh, ls, wc
  assert.equal(
    store.shell("grep -c . /proc/self/mountinfo; grep -v -e / /proc/self/mountinfo | wc -l").split("\n")[1],
    "0",
  );
});

test("no mount of the host is left in a container", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const targets = store.shell("cut -d' ' -f5 /proc/self/mountinfo").split("\n");
  const unknown = targets.filter(
    (target) => !/^\/(?:$|proc|sys|dev|etc\/(?:hosts|hostname|resolv\.conf)$)/.test(target),
  );
  assert.deepEqual(unknown, []);
});

test("no program of this host can be opened for writing through /proc, not while another container joins either", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  // Opens what runs, keeps it, and tries to open that for writing when it runs no more (CVE-2019-5736). It writes nothing.
  const attack = `trap 'exit 0' TERM; echo ready
    while :; do for p in /proc/[0-9]*; do
      { name=$(readlink /proc/self/fd/9); [ "$name" = /bin/busybox ] || { sleep 0.01; true >>/proc/self/fd/9 && echo "opened $name"; }; } 9<$p/exe
    done; done 2>/dev/null`;
  store.ok("run", "-d", "--name", "evil", "bb:1", "sh", "-c", attack);
  for (let turn = 0; turn < 5; turn++) {
    assert.equal(store.shell("echo ran", "--pid", "container:evil"), "ran");
    assert.equal(store.ok("exec", "evil", "echo", "ran"), "ran");
  }
  assert.equal(store.ok("logs", "evil"), "ready");
  store.ok("rm", "-f", "evil");
});

test("a link that a container planted in a volume leads no later mount out of the root", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const [volume, source, outside] = ["volume", "source", "outside"].map((name) => join(store.path, name));
  for (const path of [volume, source, outside]) mkdirSync(path ?? "");
  store.shell(`ln -s ../../../../../..${outside} /v/up; ln -s ${outside} /v/abs`, "-v", `${volume}:/v`);
  for (const place of ["/v/up/made", "/v/abs/made", "/v/up"]) {
    store.inside(["-v", `${volume}:/v`, "-v", `${source}:${place}`, "bb:1", "sh", "-c", `touch ${place}/x`]);
  }
  store.inside(["-v", `${volume}:/v`, "-w", "/v/up/deep", "bb:1", "touch", "x"]);
  store.inside(["-v", `${volume}:/v`, "--tmpfs", "/v/abs/mem", "bb:1", "touch", "/v/abs/mem/x"]);
  assert.deepEqual(readdirSync(outside ?? ""), []);
});

test("what is read-only stays so, and the kernel's settings are not the container's", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const volume = join(store.path, "volume");
  mkdirSync(volume);
  const paths = ["/", "/v", "/sys", "/proc/sys", "/sys/fs/cgroup"];
  const script = paths.map(
    (path) => `mount -o remount,rw,bind ${path} && echo remounted; umount ${path} && echo unmounted`,
  );
  const writes = [
    "/x",
    "/v/x",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/sys/kernel/profiling",
  ];
  script.push(...writes.map((path) => `echo 1 >>${path} && echo "wrote ${path}"`));
  const options = ["--read-only", "-v", `${volume}:/v:ro`, "--cap-add", "SYS_PTRACE", "--cap-add", "DAC_READ_SEARCH"];
  assert.equal(store.shell(`{ ${script.join("; ")}; } 2>/dev/null; true`, ...options), "");
  assert.equal(
    store.shell(
      `{ ${script.slice(5).join("; ")}; } 2>/dev/null; true`,
      ...options,
      "--uidmap",
      "0:100000:65536",
      "--cap-add",
      "ALL",
    ),
    "",
  );
});

test("signals and traces end at the pid namespace, and no descriptor leads out", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const victim = spawn("sleep", ["1000"], { stdio: "ignore" });
  try {
    const options = ["--cap-add", "SYS_PTRACE", "--cap-add", "KILL"];
    store.inside([...options, "bb:1", "sh", "-c", `kill -9 ${victim.pid}; kill -9 -1; true`]);
    assert.equal(victim.exitCode, null);
    assert.equal(victim.kill(0), true);
    const inside = `ls /proc/${victim.pid} 2>/dev/null; ls -l /proc/self/fd | grep -o ' [0-9]* ->' | tr -d '\\n >-'; ls -l /proc/1/cwd /proc/1/root | grep -o '> .*'`;
    for (const more of [[], ["--uidmap", "0:100000:65536"], ["--ipc", "host", "--uts", "host"]]) {
      assert.equal(store.shell(inside, ...options, ...more), "012> /\n> /", more.join(" "));
    }
  } finally {
    victim.kill("SIGKILL");
  }
});

test("the caller's keys are not a container's", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const addKey = process.arch === "arm64" ? 217 : 248;
  const call = declare(
    "long syscall(long number, const void *a, const void *b, const void *c, size_t d, long e, long f)",
  );
  leaveSessionKeyring(); // this process's own, for what it starts
  const text = (value: string): Buffer => Buffer.from(`${value}\0`);
  assert.ok(Number(call(addKey, text("user"), text("layerctl-secret"), text("x"), 1, -3, 0)) > 0);
  const look = ["grep", "layerctl-secret", "/proc/keys"];
  assert.equal(spawnSync("setpriv", ["--reuid", "1000", ...look]).status, 0, "others see it by that keyring");
  store.ok("run", "-d", "--name", "c", "--privileged", "-u", "app", "bb:1", "sleep", "1000");
  assert.equal(store.run(["exec", "c", ...look]).exitCode, 1);
  assert.equal(store.inside(["--privileged", "-u", "app", "bb:1", ...look]).exitCode, 1);
});
