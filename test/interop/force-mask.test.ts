/** Owners, modes and devices in attributes (`force_mask`): what podman or fuse-overlayfs wrote is read, and the other way round. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { peersIn } from "./peers.ts";

const OURS = join(dirname(LAYERCTL), "layerctl-fuse");
const THEIRS = "/usr/bin/fuse-overlayfs";

/** In a mount namespace of its own, which takes the mount along when it ends. */
function inMount(program: string, options: string, target: string, script: string): string {
  const mounted = '"$0" -o "$1" "$2" && cd "$2" && eval "$3"; status=$?; cd /; umount -i "$2"; exit $status';
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    ["-m", "sh", "-c", mounted, program, options, target, script],
    { encoding: "latin1", timeout: 60_000, killSignal: "SIGKILL" },
  );
  if (status !== 0) throw new Error(`${program}: exit ${status}: ${stdout}${stderr}`);
  return stdout;
}

const LIST = "find . -printf '%p %y %m %U:%G %s %l\\n' | sort; getfattr -hd -m '^user.name$' *";

/** What both programs do right: Debian's fuse-overlayfs 1.10 forgets the owner at chmod, and fails at symbolic links. */
const changes = (name: string): string => `
  umask 022
  echo one > made-${name}; chmod 4711 made-${name}; chown 7:8 made-${name}
  mkdir -m 1777 d-${name}; touch d-${name}/f; chown -R 1000:1000 d-${name}
  chown 3:4 dir-${name} lower-${name}; rm gone-${name}; mv lower-${name} moved-${name}
  setfattr -n user.name -v value made-${name}
`;

for (const [mode, attribute] of [
  [1, "security.fuseoverlayfs.override_stat"],
  [2, "user.fuseoverlayfs.override_stat"], // fuse-overlayfs 1.14 and newer, and ours by itself: user.containers.override_stat
] as const) {
  test(`with xattr_permissions=${mode} an upperdir that fuse-overlayfs and ours write in turn shows the same in both`, {
    skip: requires("root", "fuse", "program:fuse-overlayfs", "program:getfattr"),
    timeout: 120_000,
  }, async () => {
    await using directory = temporaryDirectory();
    const path = (name: string): string => directory.host(...name.split("/"));
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(path(name));
    for (const name of ["theirs", "ours"]) {
      mkdirSync(path(`lower/dir-${name}`));
      for (const file of ["lower", "gone", `dir-${name}/x`]) writeFileSync(path(`lower/${file}-${name}`), "0");
    }
    const options = `lowerdir=${path("lower")},upperdir=${path("upper")},workdir=${path("work")},xattr_permissions=${mode}`;
    inMount(THEIRS, options, path("merged"), changes("theirs"));
    inMount(OURS, options, path("merged"), changes("ours"));
    const shown = inMount(OURS, options, path("merged"), LIST);
    for (const name of ["theirs", "ours"]) {
      assert.match(shown, new RegExp(`^./made-${name} f 711 7:8 4 $`, "m")); // chown took the setuid bit
      assert.match(shown, new RegExp(`^./d-${name}/f f \\d+ 1000:1000 0 $`, "m"));
      assert.match(shown, new RegExp(`^./moved-${name} f \\d+ 3:4 1 $`, "m"));
    }
    assert.equal(inMount(THEIRS, options, path("merged"), LIST), shown);
    const { stdout } = spawnSync("getfattr", ["-n", attribute, path("upper/made-ours")], { encoding: "latin1" });
    assert.match(stdout, /7:8:0711/);
  });
}

/** What a container and its commit show with a store that forces modes. */
async function workWith(mountProgram: string): Promise<readonly string[]> {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"), mountProgram, 'force_mask = "shared"');
  for (const name of ["etc", "usr", "usr/share"]) mkdirSync(join(store.path, "tree", name), { recursive: true });
  for (const name of ["etc/group", "usr/share/x", "usr/su"]) writeFileSync(join(store.path, "tree", name), name);
  chownSync(join(store.path, "tree/etc/group"), 3, 4);
  chmodSync(join(store.path, "tree/usr/su"), 0o711); // devices podman 4.3 cannot unpack so, and setuid bits it drops
  const tar = join(store.path, "tree.tar");
  spawnSync("tar", ["-C", join(store.path, "tree"), "--numeric-owner", "-cf", tar, "."]);
  const image = peers.run("podman", "import", "-q", tar, "localhost/in:1");
  const container = peers.run("podman", "create", image, "true");
  const tree = peers.run("podman", "mount", container);
  const sh = (script: string): string => {
    const { status, stdout, stderr } = spawnSync("sh", ["-c", `cd "$0" && ${script}`, tree], { encoding: "latin1" });
    if (status !== 0) throw new Error(`exit ${status}: ${script}\n${stderr}`);
    return stdout;
  };
  sh("echo added > etc/added && chmod 750 etc/added && chown 1:2 etc/added && rm -r usr/share");
  const shown = sh("find . -mindepth 1 -printf '%p %y %m %U:%G %s %l\\n' | sort").split("\n");
  peers.run("podman", "umount", container);
  peers.run("podman", "commit", "-q", container, "localhost/mine:1");
  const again = peers.run("podman", "image", "mount", "localhost/mine:1");
  const { stdout } = spawnSync("find", [again, "-mindepth", "1", "-printf", "%P %y %m %U:%G %s %l\\n"], {
    encoding: "latin1",
  });
  peers.run("podman", "image", "umount", "localhost/mine:1");
  peers.run("podman", "rm", container);
  peers.run("podman", "rmi", "-a");
  return [...shown, ...stdout.split("\n").sort()];
}

/** Of a copied-up file fuse-overlayfs 1.10 commits the owner below: that is left out here. */
test("podman with force_mask shows and commits the same through ours as through fuse-overlayfs", {
  skip: requires("root", "fuse", "program:podman", "program:fuse-overlayfs"),
  timeout: 300_000,
}, async () => {
  const ours = await workWith(OURS);
  assert.ok(ours.includes("./etc/added f 750 1:2 6 "));
  assert.ok(ours.includes("etc/added f 750 1:2 6 "));
  assert.deepEqual(ours, await workWith(THEIRS));
});
