/**
 * The work that programs do in a mounted tree: on the merged tree copied to a plain directory (the limit), through kernel
 * overlayfs, our FUSE server and fuse-overlayfs, all on the layers of one image and an empty upperdir.
 */

import type { Contender, Section } from "./contender.ts";

/** A way to have the tree at "$M". "$L" are the layers, "$U" and "$K" the upperdir and workdir. */
interface Mount {
  readonly label: string;
  readonly mount: string;
  readonly needs?: readonly string[];
  /** It has a process that is measured too. */
  readonly isServed?: boolean;
}

const MOUNTS: readonly Mount[] = [
  { label: "kernel overlayfs", mount: 'mount -i -t overlay overlay -o "lowerdir=$L,upperdir=$U,workdir=$K" "$M"' },
  {
    label: "layerctl fuse",
    mount: '"$C" fuse -o "lowerdir=$L,upperdir=$U,workdir=$K,aufs=off" "$M"',
    isServed: true,
  },
  {
    label: "fuse-overlayfs",
    mount: 'fuse-overlayfs -o "lowerdir=$L,upperdir=$U,workdir=$K" "$M"',
    needs: ["fuse-overlayfs"],
    isServed: true,
  },
];

/** One thing that is done. `warm` is done before, untimed; without it the caches are dropped. */
interface Work {
  readonly name: string;
  readonly command: string;
  readonly warm?: string;
}

/** A script of node, without a process for each file; by two workers, each does the half that its number (0 or 1) says. */
const script = (source: string, workers: 1 | 2): string => {
  const run = (worker: number): string => `"$NODE" -e '${source}' "$M" "$W/paths" ${worker} ${workers}`;
  return workers === 1 ? run(0) : `${run(0)} & ${run(1)}; wait $!`;
};
const ARGUMENTS = 'const fs = require("fs"), [, root, paths, worker, workers] = process.argv;';
/** Opens, reads and closes 20,000 files. */
const read = (workers: 1 | 2 = 1): string =>
  script(
    `${ARGUMENTS}
  for (const [i, path] of fs.readFileSync(paths, "latin1").split("\\n").filter(Boolean).entries()) {
    if (i % workers != worker) continue;
    const fd = fs.openSync(root + "/" + path, "r");
    fs.readSync(fd, Buffer.allocUnsafe(65536)); fs.closeSync(fd);
  }`,
    workers,
  );
/** Makes, renames or unlinks 10,000 files, a hundred a directory. */
const many = (call: string, workers: 1 | 2 = 1): string =>
  script(
    `${ARGUMENTS} const data = Buffer.alloc(4096, 120);
  for (let i = 0; i < 10000; i++) {
    const number = Math.floor(i / 100), directory = root + "/many/d" + number, file = directory + "/f" + i;
    if (number % workers == worker) { ${call} }
  }`,
    workers,
  );
const CREATE = "if (i % 100 === 0) fs.mkdirSync(directory, { recursive: true }); fs.writeFileSync(file, data);";
const UNLINK = "fs.unlinkSync(file);";
const MAKE = many(CREATE);
const SOME = "usr/share usr/lib etc";

const WORKS: readonly Work[] = [
  { name: "find -ls, cold", command: 'find "$M" -ls' },
  { name: "find -ls, warm", command: 'find "$M" -ls', warm: 'find "$M" -ls >"$W/o"' },
  { name: "tar -c of 20k files, cold", command: `tar -C "$M" -cf - -T "$W/paths" | cat >"$W/o"` },
  { name: "tar -c of 20k files, warm", command: `tar -C "$M" -cf - -T "$W/paths" | cat >"$W/o"`, warm: read() },
  { name: "open, read, close of 20k files, warm", command: read(), warm: read() },
  { name: "open, read, close of 20k files by two workers, warm", command: read(2), warm: read() },
  { name: "create 10k files of 4 KiB", command: MAKE, warm: ":" },
  { name: "create 10k files of 4 KiB by two workers", command: many(CREATE, 2), warm: ":" },
  { name: "rename 10k files", command: many('fs.renameSync(file, file + "r");'), warm: MAKE },
  { name: "unlink 10k files", command: many(UNLINK), warm: MAKE },
  { name: "unlink 10k files by two workers", command: many(UNLINK, 2), warm: MAKE },
  { name: "chmod -R of lower files", command: 'chmod -R g+w "$M/usr/share"', warm: 'find "$M/usr/share" >"$W/o"' },
  { name: "rm -rf of lower files", command: `cd "$M" && rm -rf ${SOME}`, warm: 'find "$M" >"$W/o"' },
  {
    name: "cp -a of a tree",
    command: 'cp -a "$M/usr/share" "$M/copy"',
    warm: 'tar -C "$M" -cf - usr/share | cat >"$W/o"',
  },
  { name: "write 1 GiB", command: 'dd if=/dev/zero of="$M/big" bs=1M count=1024', warm: ":" },
  {
    name: "read 1 GiB, warm",
    command: 'dd if="$M/big" of=/dev/null bs=1M',
    warm: 'dd if=/dev/zero of="$M/big" bs=1M count=1024; cat "$M/big" >"$W/o"',
  },
];

const COLD = 'sync -f "$W"; echo 3 >/proc/sys/vm/drop_caches';
const AFTER = 'umount -i "$M" || umount -i -l "$M"; rm -rf "$U" "$K"';

/** A table for each thing that is done. */
export function fuseSection(image: string, stored: string, name: string): Section {
  const places = 'M="$W/m"; U="$W/fu"; K="$W/fk"; L="$(cat "$W/lowers")"; ';
  const contenders = WORKS.flatMap(({ name: work, command, warm = COLD }): readonly Contender[] => {
    const table = `${work}, ${image}`;
    return [
      {
        table,
        label: "limit: the merged tree in a directory",
        command: `M="$W/flat"; ${command}`,
        before: `rm -rf "$W/flat"; cp -a "$W/merged" "$W/flat"; M="$W/flat"; ${warm}`,
        after: 'rm -rf "$W/flat"',
        isLimit: true,
      },
      ...MOUNTS.map(
        ({ label, mount, needs, isServed }): Contender => ({
          table,
          label,
          command: places + command,
          before: `${places} mkdir -p "$M" "$U" "$K"; ${mount} >"$W/o" 2>&1; ${warm}`,
          after: places + AFTER,
          ...(needs !== undefined && { needs }),
          ...(isServed && { serves: "m" }),
        }),
      ),
    ];
  });
  const prepare = `${stored}
    "$C" --root "$S" mount ${name} --ro --name whole "$W/whole" >"$W/o"
    cp -a "$W/whole" "$W/merged"; "$C" --root "$S" umount whole; "$C" --root "$S" rm whole
    "$C" --root "$S" --json layers ${name} | "$NODE" -p '
      JSON.parse(fs.readFileSync(0)).layers.toReversed().map(({ chainId }) =>
        process.argv[1] + "/layers/" + chainId.replace("sha256:", "") + "/diff").join(":")' "$S" >"$W/lowers"
    cd "$W/merged" && find usr srv -type f | head -20000 >"$W/paths"`;
  return { contenders, prepare };
}
