/** A command that does nothing, in a container of its own: the whole process, from an image in the store to nothing left. */

import type { Contender, Section } from "./contender.ts";
import { stored, storedName } from "./sections.ts";

/** crun refuses hosts that have both versions of cgroups mounted. */
const ONE_VERSION = "umount /sys/fs/cgroup/unified 2>/dev/null;";

export function runSection(image: string): Section {
  const table = `run /bin/true, ${image}`;
  const name = storedName(image);
  const bundled = (runtime: string): Contender => ({
    table,
    label: `${runtime} run, of a bundle that is mounted`,
    command: `exec unshare -m sh -c '${ONE_VERSION} exec ${runtime} --root "$W/state" run --bundle "$W/bundle" layerctl-bench-${runtime}'`,
    before: `"$C" --root "$S" bundle --name bench ${name} "$W/bundle" /bin/true`,
    after: '"$C" --root "$S" umount bench; "$C" --root "$S" rm bench; rm -rf "$W/bundle" "$W/state"',
    needs: [runtime],
  });
  const contenders: readonly Contender[] = [
    { table, label: "limit: node -e 0", command: 'exec "$NODE" -e 0', isLimit: true },
    {
      table,
      label: "layerctl run --rm",
      command: `exec "$C" --root "$S" run --rm ${name} /bin/true`,
      target: { timesLimit: 3 },
    },
    { table, label: "layerctl run --rm -m 64m", command: `exec "$C" --root "$S" run --rm -m 64m ${name} /bin/true` },
    {
      table,
      label: "layerctl run --rm --runtime crun",
      command: `exec "$C" --root "$S" run --rm --runtime crun ${name} /bin/true`,
      needs: ["crun"],
    },
    {
      table,
      label: "podman run --rm",
      command: `exec unshare -m sh -c '${ONE_VERSION} exec podman run --rm --network none ${name} /bin/true'`,
      needs: ["podman"],
    },
    bundled("crun"),
    bundled("runc"),
    {
      table,
      label: "bwrap, of a tree that is mounted",
      command: 'exec bwrap --unshare-all --bind "$W/tree" / --proc /proc --dev /dev /bin/true',
      before: `"$C" --root "$S" mount ${name} "$W/tree" --name bench`,
      after: '"$C" --root "$S" umount bench; "$C" --root "$S" rm bench',
      needs: ["bwrap"],
    },
  ];
  return { contenders, prepare: stored(image) };
}
