/** What each section of the benchmark runs: ourselves, the limit, and the packaged tools doing the same work. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Contender, Section } from "./contender.ts";

/** The blobs of an image's layers, base first, and the program that decompresses them. */
function layerBlobs(images: string, image: string): { readonly paths: readonly string[]; readonly inflate: string } {
  const layout = join(images, "oci", image);
  const read = (path: string): unknown => JSON.parse(readFileSync(join(layout, path), "utf8"));
  const blob = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
  const index = read("index.json") as { manifests: { digest: string }[] };
  const manifest = read(blob(index.manifests[0]?.digest ?? "")) as { layers: { digest: string; mediaType: string }[] };
  const types = manifest.layers.map(({ mediaType }) => mediaType);
  const inflate = types.every((type) => type.endsWith("gzip"))
    ? "igzip -dc"
    : types.every((type) => type.endsWith("zstd"))
      ? "zstd -qdc"
      : "cat";
  return { paths: manifest.layers.map(({ digest }) => join(layout, blob(digest))), inflate };
}

const RESET_STORAGE = 'podman umount -a; podman rm -fa; umount "$W/storage/overlay"; rm -rf "$W/storage" "$W/run"';
/** What an image is called in the stores. */
export const storedName = (image: string): string => `localhost/bench/${image}:latest`;

/** Import and unpack of whole images. */
export function importSection(images: string, image: string): Section {
  const { paths, inflate } = layerBlobs(images, image);
  const table = `import ${image}`;
  const jobs = paths.map((path, at) => `'${at} ${path}'`).join(" ");
  const unpack = `${inflate} <$1 | tar -x --numeric-owner -p -C "$W/x/$0"`;
  const empty = `rm -rf "$W/x"; for i in $(seq 0 ${paths.length - 1}); do mkdir -p "$W/x/$i"; done`;
  const needs = [inflate.split(" ")[0] ?? ""];
  const ours = (label: string, source: string, target?: Contender["target"]): Contender => ({
    table,
    label,
    command: `exec "$C" --root "$W/own" import "${source}"`,
    after: 'rm -rf "$W/own"',
    ...(target !== undefined && { target }),
  });
  const contenders: Contender[] = [
    {
      table,
      label: `limit: ${inflate} and tar -x, two layers at once`,
      command: `printf '%s\\n' ${jobs} | xargs -P2 -L1 bash -c '${unpack}'`,
      before: empty,
      after: 'rm -rf "$W/x"',
      isLimit: true,
      needs,
    },
    {
      table,
      label: "the same, then on the disk (sync -f), as an import is",
      command: `printf '%s\\n' ${jobs} | xargs -P2 -L1 bash -c '${unpack}' && sync -f "$W/x"`,
      before: empty,
      after: 'rm -rf "$W/x"',
      isReference: true,
      needs,
    },
    ours("layerctl import (OCI layout)", `$I/oci/${image}`, { timesLimit: 1.5 }),
  ];
  if (existsSync(join(images, "oci", `${image}-zstd`))) {
    contenders.push(ours("layerctl import (OCI layout, zstd)", `$I/oci/${image}-zstd`));
  }
  contenders.push(
    ours("layerctl import (docker-archive)", `$I/docker/${image}.tar`),
    {
      table,
      label: "umoci unpack",
      command: `exec umoci unpack --image "$I/oci/${image}:latest" "$W/um"`,
      after: 'rm -rf "$W/um"',
      needs: ["umoci"],
    },
    {
      table,
      label: "umoci raw unpack",
      command: `exec umoci raw unpack --image "$I/oci/${image}:latest" "$W/um"`,
      after: 'rm -rf "$W/um"',
      needs: ["umoci"],
    },
    {
      table,
      label: "skopeo copy to containers-storage",
      command: `exec skopeo --insecure-policy copy -q "oci:$I/oci/${image}:latest" containers-storage:${storedName(image)}`,
      after: RESET_STORAGE,
      needs: ["skopeo", "podman"],
    },
    {
      table,
      label: "podman load (docker-archive)",
      command: `exec podman load -q -i "$I/docker/${image}.tar"`,
      after: RESET_STORAGE,
      needs: ["podman"],
    },
    {
      table,
      label: "buildah pull",
      command: `exec buildah pull -q "oci:$I/oci/${image}:latest"`,
      after: RESET_STORAGE,
      needs: ["buildah", "podman"],
    },
  );
  return { contenders };
}

/** Puts the image into our store and into containers/storage, for the sections that start from there. */
export function stored(image: string): string {
  return `test -d "$S" || "$C" --root "$S" import "$I/oci/${image}" --name ${storedName(image)}
    podman image exists ${storedName(image)} || skopeo --insecure-policy copy -q "oci:$I/oci/${image}:latest" containers-storage:${storedName(image)}`;
}

/** A mounted tree from a stored image, the whole process. */
export function mountSection(image: string): Section {
  const table = `mount ${image}`;
  const name = storedName(image);
  const contenders: readonly Contender[] = [
    { table, label: "limit: node -e 0", command: 'exec "$NODE" -e 0', isLimit: true },
    {
      table,
      label: "mount(8) of an overlay",
      command: 'exec mount -i -t overlay overlay -o "lowerdir=$W/e,upperdir=$W/u,workdir=$W/k" "$W/m"',
      before: 'mkdir -p "$W/e" "$W/u" "$W/k" "$W/m"',
      after: 'umount -i "$W/m"; rm -rf "$W/u" "$W/k"',
    },
    {
      table,
      label: "layerctl mount",
      command: `exec "$C" --root "$S" mount ${name} --name bench`,
      after: '"$C" --root "$S" umount bench; "$C" --root "$S" rm bench',
      target: { timesLimit: 2.5 },
    },
    {
      table,
      label: "podman image mount",
      command: `exec podman image mount ${name}`,
      after: `podman image unmount ${name}`,
      needs: ["podman"],
    },
    {
      table,
      label: "buildah from and mount",
      command: `buildah from -q --name bench ${name} && buildah mount bench`,
      after: "buildah umount bench; buildah rm bench",
      needs: ["buildah"],
    },
  ];
  return { contenders, prepare: stored(image) };
}

/** Writes COUNT new files of a few KiB of text below DIRECTORY/srv/new, a hundred a directory. */
const CHANGE = `change() { "$NODE" -e '
  const fs = require("fs"), [root, count] = process.argv.slice(1);
  for (let i = 0; i < count; i++) {
    const directory = root + "/srv/new/d" + Math.floor(i / 100);
    if (i % 100 === 0) fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(directory + "/f" + i, ("line " + i + " of some text\\n").repeat(50 + (i % 200)));
  }' "$1" "$2"; }; `;

const OURS = (image: string, count: number): string =>
  `${CHANGE} "$C" --root "$S" mount ${storedName(image)} --name bench && change "$("$C" --root "$S" --json inspect bench | "$NODE" -p 'JSON.parse(fs.readFileSync(0)).target')" ${count}`;
const OURS_AFTER =
  '"$C" --root "$S" umount bench; "$C" --root "$S" rm bench; "$C" --root "$S" rmi localhost/bench/new:1; "$C" --root "$S" gc';
const PODMAN = (image: string, count: number): string =>
  `${CHANGE} podman create -q --name bench --network none ${storedName(image)} /bin/true && change "$(podman mount bench)" ${count}`;
const PODMAN_AFTER = "podman umount bench; podman rm -f bench; podman rmi -f localhost/bench/new:1";
const BUILDAH = (image: string, count: number): string =>
  `${CHANGE} buildah from -q --name bench ${storedName(image)} && change "$(buildah mount bench)" ${count}`;

/** What changed, told of a tree with ten new files. */
export function diffSection(image: string): Section {
  const table = `diff ${image}, 10 files`;
  const contenders: readonly Contender[] = [
    { table, label: "limit: node -e 0", command: 'exec "$NODE" -e 0', isLimit: true },
    {
      table,
      label: "layerctl diff",
      command: 'exec "$C" --root "$S" diff bench',
      before: OURS(image, 10),
      after: OURS_AFTER,
      target: { timesLimit: 2 },
    },
    {
      table,
      label: "podman diff",
      command: "exec podman diff bench",
      before: PODMAN(image, 10),
      after: PODMAN_AFTER,
      needs: ["podman"],
    },
  ];
  return { contenders, prepare: stored(image) };
}

/** A new layer of ten files, or of 20,000. */
export function commitSection(image: string, count: number): Section {
  const table = `commit ${image}, ${count} files`;
  const limit = (pack: string): string => `tar -C "$W/up" --numeric-owner -cf - . | ${pack} >"$W/o.tar"`;
  const up = {
    before: `${CHANGE} rm -rf "$W/up"; mkdir "$W/up"; change "$W/up" ${count}`,
    after: 'rm -rf "$W/up" "$W/o.tar"',
  };
  const umoci = `${CHANGE} rm -rf "$W/ui"; cp -a "$I/oci/${image}" "$W/ui"
    test -d "$W/umc" || umoci unpack --image "$W/ui:latest" "$W/umc"; rm -rf "$W/umc/rootfs/srv/new"; change "$W/umc/rootfs" ${count}`;
  const target: Contender["target"] = count < 100 ? { seconds: 0.15 } : { timesLimit: 1.5 };
  const contenders: readonly Contender[] = [
    { table, label: "limit: tar -c and igzip -1", command: limit("igzip -1"), ...up, isLimit: true, needs: ["igzip"] },
    { table, label: "tar -c and gzip -6", command: limit("gzip -6"), ...up },
    {
      table,
      label: "layerctl commit",
      command: 'exec "$C" --root "$S" commit bench localhost/bench/new:1',
      before: OURS(image, count),
      after: OURS_AFTER,
      target,
    },
    {
      table,
      label: "layerctl commit --compression zstd",
      command: 'exec "$C" --root "$S" commit bench localhost/bench/new:1 --compression zstd',
      before: OURS(image, count),
      after: OURS_AFTER,
    },
    {
      table,
      label: "podman commit",
      command: "exec podman commit -q bench localhost/bench/new:1",
      before: PODMAN(image, count),
      after: PODMAN_AFTER,
      needs: ["podman"],
    },
    {
      table,
      label: "buildah commit",
      command: "exec buildah commit -q bench localhost/bench/new:1",
      before: BUILDAH(image, count),
      after: "buildah umount bench; buildah rm bench; podman rmi -f localhost/bench/new:1",
      needs: ["buildah", "podman"],
    },
    {
      table,
      label: "umoci repack",
      command: 'exec umoci repack --image "$W/ui:new" "$W/umc"',
      before: umoci,
      after: 'rm -rf "$W/ui"',
      needs: ["umoci"],
    },
  ];
  return { contenders, prepare: stored(image) };
}
