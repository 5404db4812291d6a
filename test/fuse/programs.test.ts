/** Programs that ask much of a file system, in a mount of ours; what they leave the kernel shows the same. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mountFuse } from "../helpers/fuse-mount.ts";
import { type Need, requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeScene } from "../helpers/union-scene.ts";

/** Names, owners, modes, times to the second, contents; the times of access are of no interest, and in no such archive. */
const ARCHIVE =
  "tar c --format=gnu --sort=name --numeric-owner . | sha256sum; getfattr -Rhd -m '^user|^security' . | sort";

const SQLITE = `
import multiprocessing, sqlite3
def insert(who):
    db = sqlite3.connect("db.sqlite", timeout=60, isolation_level=None)
    for at in range(50):
        db.execute("insert into t values (?, ?)", (who, at))
db = sqlite3.connect("db.sqlite", isolation_level=None)
mode = db.execute("pragma journal_mode=wal").fetchone()[0]
db.execute("create table t (a, b)")
workers = [multiprocessing.Process(target=insert, args=(who,)) for who in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(mode, db.execute("select count(*) from t").fetchone()[0], db.execute("pragma integrity_check").fetchone()[0])
`;

interface Program {
  readonly name: string;
  readonly needs: readonly Need[];
  readonly script: string;
  readonly says: string;
}

const PROGRAMS: readonly Program[] = [
  {
    name: "tar unpacks what it has packed, with all attributes and holes",
    needs: ["program:setfattr", "program:setfacl"],
    script: `mkdir made && cd made && echo 1 >f && ln f g && ln -s f l && mkfifo p && mkdir -m 1777 d && truncate -s 3M sparse &&
      echo x >>sparse && setfattr -n user.x -v y f && setfacl -m u:7:rwx d && chmod 4711 f && cp -a ../d/. d && cd .. &&
      tar cf one.tar --sort=name --xattrs --acls --sparse made && mkdir again &&
      tar xpf one.tar --xattrs --xattrs-include='*' --acls -C again && tar df one.tar && tar df one.tar -C again &&
      attributes() { getfattr -Rhd -m - -e hex made | sort; } && attributes >one && (cd again && attributes) >two &&
      cmp one two && [ $(stat -c %b made/sparse) = $(stat -c %b again/made/sparse) ] && echo equal`,
    says: "equal",
  },
  {
    name: "sqlite keeps a journal in shared memory, for several processes",
    needs: ["program:python3"],
    script: `python3 -c '${SQLITE}'`,
    says: "wal 200 ok",
  },
  {
    name: "git clones, checks and switches",
    needs: ["program:git"],
    script: `export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
      git init -q -b main from && cd from && cp -r ../d . && for n in $(seq 50); do echo $n >f$n; done && git add . && git commit -q -m one &&
      git rm -q f1 f2 && git mv f3 d/f3 && git commit -q -m two && cd .. && git clone -q from to && cd to && git gc -q && git fsck 2>&1 &&
      git checkout -q HEAD~1 && git checkout -q main && git status --porcelain && git ls-files | wc -l`,
    says: "51",
  },
];

for (const options of ["", ",passthrough=off", ",passthrough=off,writeback=0"]) {
  for (const { name, needs, script, says } of PROGRAMS) {
    test(`${name} (${options.slice(1) || "passthrough"})`, {
      skip: requires("root", "fuse", "overlay", "program:getfattr", ...needs),
    }, async () => {
      await using directory = temporaryDirectory();
      const target = join(directory.path, "mnt");
      mkdirSync(target);
      const scene = writeScene(directory, ["d/a=1 d/b/c=2", "d/b/c=3 d/e=4"]);
      await using mount = await mountFuse(`${scene},redirect_dir=on${options}`, target);
      assert.equal(mount.sh(script), says);
      const shown = mount.sh(ARCHIVE);
      await mount.unmount();
      const kernel = `mount -t overlay overlay -o "$0,index=on,redirect_dir=on" mnt && cd mnt && ${ARCHIVE}`;
      const inKernel = spawnSync("unshare", ["-m", "sh", "-c", kernel, scene.replace(",aufs=off", "")], {
        cwd: directory.path,
        encoding: "latin1",
      });
      assert.equal(inKernel.stdout.trimEnd(), shown, inKernel.stderr);
    });
  }
}
