/** A user without any privilege runs containers from a store of his own, as root of a user namespace. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxStore, needsContainers } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";

const NOBODY = 65534;
const timeout = 120_000;
const skip = needsContainers || requires("fuse", "user-namespace", "program:newuidmap", "program:crun", "program:runc");
const skipSingle = needsContainers || requires("fuse", "user-namespace");

interface User extends AsyncDisposable {
  readonly home: string;
  /** What a script says and how it ends; "$0" is the command, and errors are in their place. */
  sh(script: string): string;
}

/** "nobody" with a home, an image "bb:1", and ids of his own unless `ids` is 0. */
function user(ids = 65_536): User {
  const store = busyboxStore();
  const home = join(store.path, "home");
  chmodSync(store.path, 0o755);
  mkdirSync(home);
  copyFileSync(join(store.path, "bb.tar"), join(home, "bb.tar"));
  writeFileSync(join(store.path, "sub"), ids === 0 ? "" : `nobody:200000:${ids}\n`);
  for (const path of [home, join(home, "bb.tar")]) chownSync(path, NOBODY, NOBODY);
  const setUp = `mknod "$2/fuse" c 10 229 2>/dev/null; chmod 666 "$2/fuse"; mount --bind "$2/fuse" /dev/fuse
    for f in subuid subgid; do [ -e /etc/$f ] || : >/etc/$f; mount --bind "$2/sub" /etc/$f; done; cd "$2/home"
    exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups env HOME="$2/home" sh -c "$1" "$0"`;
  const sh = (script: string): string => {
    const { stdout, stderr, error } = spawnSync(
      "unshare",
      ["-m", "sh", "-c", setUp, LAYERCTL, `exec 2>&1; ${script}`, store.path],
      {
        env: { PATH: process.env.PATH, LC_ALL: "C" },
        encoding: "utf8",
        timeout,
        killSignal: "SIGKILL",
      },
    );
    if (error !== undefined) throw error;
    return (stdout + stderr).replace(/\n$/, "");
  };
  assert.match(sh('"$0" import bb.tar --rootfs --name bb:1 -q'), /^bb:1 /);
  return { home, sh, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

/** Processes of "nobody" that have this store open, or its paths in their arguments; ended ones count no more. */
function processesOf({ home }: User): readonly string[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      if (!/^\d+$/.test(pid)) return [];
      const table = readFileSync(`/proc/${pid}/mountinfo`, "latin1");
      return table.includes(`${home}/.local`) ? [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, "latin1")}`] : [];
    } catch {
      return []; // it has ended
    }
  });
}

async function untilNone(owner: User): Promise<void> {
  for (let turn = 0; turn < 200 && processesOf(owner).length > 0; turn++) await sleep(20);
  assert.deepEqual(processesOf(owner), []);
}

test("a user runs containers with all the ids that are his, and is told once what he cannot have", {
  skip,
  timeout,
}, async () => {
  await using nobody = user();
  const script = `"$0" run --rm bb:1 sh -c 'id -u; cat /proc/self/uid_map; touch /x; chown 1000:77 /x; stat -c %u:%g /x /bin/busybox'`;
  const expected = `0\n         0      65534          1\n         1     200000      65535\n1000:77\n0:0`;
  const [told = "", ...rest] = nobody.sh(script).split("\n");
  assert.match(told, /^layerctl: containers of this user have no limits, pause and statistics \(it takes a cgroup/);
  assert.equal(rest.join("\n"), expected);
  assert.equal(nobody.sh(script), expected, "it is not told again");
  assert.match(nobody.sh(`"$0" run --rm -u app bb:1 id`), /^uid=1000\(app\) gid=1000\(app\) groups=77\(extra\)$/);
  for (const runtime of ["", "--runtime crun", "--runtime runc"]) {
    assert.match(
      nobody.sh(`"$0" run --rm ${runtime} -m 32m bb:1 true; echo $?`),
      /controller "memory".*ERR_CGROUP_CONTROLLER\)\n125$/,
    );
    if (runtime !== "")
      assert.match(nobody.sh(`"$0" run --rm ${runtime} -u app bb:1 id`), /^uid=1000\(app\) gid=1000\(app\)/);
  }
  assert.equal(nobody.sh(`"$0" run --rm --userns keep-id bb:1 sh -c 'id -u; stat -c %u / /etc/hosts'`), "65534\n0\n0");
  assert.match(
    nobody.sh(`"$0" run --rm --network host --pid host bb:1 ls -d /sys/class/net/lo /proc/$$`),
    /^\/proc\/\d+\n\/sys\/class\/net\/lo$/,
  );
  assert.match(
    nobody.sh(`"$0" run --rm -p 8080:80 bb:1 true; echo $?`),
    /the host's network is root's \(EPERM\); use none, host or container:NAME \(ERR_NETWORK_PRIVILEGE\)\n125$/,
  );
  await untilNone(nobody);
});

test("every verb finds a user's container that runs, and nothing of it stays", { skip, timeout }, async () => {
  await using nobody = user();
  nobody.sh(`"$0" run --rm bb:1 true`);
  const work = "touch /made; chown 1000 /made; echo out; su app -c 'sleep 1000' & while :; do sleep 0.1; done";
  assert.equal(
    nobody.sh(`"$0" run -d --name one bb:1 sh -c 'trap "exit 5" TERM; ${work.replaceAll("'", `'"'"'`)}'`),
    "one",
  );
  assert.match(nobody.sh(`until "$0" logs one | grep out; do sleep 0.1; done; "$0" ps`), /^out\n.*\none .*running$/);
  assert.match(nobody.sh(`"$0" pause one; echo $?`), /it has no control group.*ERR_CGROUP_CONTROLLER\)\n6$/);
  assert.match(
    nobody.sh(`"$0" exec one sh -c 'stat -c %u /made; ps'`),
    /^1000\n[\s\S]* root .*trap[\s\S]* app .*sleep 1000/,
  );
  assert.match(
    nobody.sh(`"$0" diff one; "$0" commit one mine:1 >/dev/null; "$0" run --rm mine:1 stat -c %u /made`),
    /A \/made\n1000$/,
  );
  assert.match(nobody.sh(`"$0" run --rm --pid container:one bb:1 ps`), /trap/);
  assert.equal(nobody.sh(`"$0" run --rm --network container:one bb:1 hostname`), "one");
  assert.equal(nobody.sh(`"$0" rm one; echo $?`).split("\n").at(-1), "4");
  assert.match(nobody.sh(`"$0" stop one; "$0" ps -a`), /^one\n.*\none .*exited \(5\)$/);
  assert.equal(nobody.sh(`"$0" start one; "$0" kill one; "$0" wait one; "$0" rm one`), "one\none\n137\none");
  assert.equal(
    nobody
      .sh(`"$0" run -d --name two bb:1 su app -c 'sleep 1000'; "$0" rm -f two; "$0" fsck`)
      .split("\n")
      .at(-1)
      ?.includes("0 snapshots: sound"),
    true,
  );
  await untilNone(nobody);
});

test("the container of a user's killed monitor ends with it, and so does its mount", { skip, timeout }, async () => {
  await using nobody = user();
  nobody.sh(`"$0" run -d --name one bb:1 sleep 1000`);
  const init = /"pid": (\d+)/.exec(nobody.sh(`"$0" ps --json`))?.[1] ?? "";
  const parent = (pid: string): string =>
    /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? "";
  process.kill(Number(parent(parent(init))), "SIGKILL");
  await untilNone(nobody);
  assert.match(nobody.sh(`"$0" ps -a`), /container\.lost name=one\n.*\none .*lost$/);
  assert.match(
    nobody.sh(`"$0" start one; "$0" rm -f one; "$0" mounts; "$0" fsck`),
    /^layerctl: warn: mount\.lost .*\none\none\n[^\n]*\n.*0 snapshots: sound$/,
  );
  await untilNone(nobody);
});

test("a user without a range of ids has one id, and is told so", { skip: skipSingle, timeout }, async () => {
  await using nobody = user(0);
  assert.match(
    nobody.sh(`"$0" run --rm bb:1 sh -c 'id -u; cat /proc/self/uid_map'`),
    /^layerctl: containers of this user have no users but root \(it takes a range in \/etc\/subuid .*\n0\n +0 +65534 +1$/,
  );
  assert.match(nobody.sh(`"$0" run --rm -u app bb:1 true; echo $?`), /no such id;.*ERR_ID_NOT_MAPPED\)[\s\S]*\n125$/);
  assert.equal(nobody.sh(`"$0" run --rm -v "$HOME:/h" bb:1 sh -c 'touch /h/x'; stat -c %u x`), String(NOBODY));
  await untilNone(nobody);
});
