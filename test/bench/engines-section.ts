/** containerd with our snapshotter beside its own: an image imported and unpacked, and what single calls take. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Contender, Section } from "./contender.ts";

/** containerd on directories of its own below "$W/engine", and our server. */
const START = `mkdir -p "$W/engine"; cat >"$W/engine/config.toml" <<END
version = 2
root = "$W/engine/root"
state = "$W/engine/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$W/engine/c.sock"
[ttrpc]
  address = "$W/engine/c.sock.ttrpc"
[proxy_plugins.layerctl]
  type = "snapshot"
  address = "$W/engine/s.sock"
END
"$C" --root "$W/engine/store" serve --containerd "$W/engine/s.sock" >/dev/null 2>&1 & echo $! >"$W/engine/serve.pid"
containerd -c "$W/engine/config.toml" >/dev/null 2>&1 & echo $! >"$W/engine/containerd.pid"
until ctr -a "$W/engine/c.sock" version >/dev/null 2>&1 && [ -S "$W/engine/s.sock" ]; do sleep 0.05; done`;
const STOP = `kill $(cat "$W/engine/containerd.pid" "$W/engine/serve.pid")
while kill -0 $(cat "$W/engine/containerd.pid") || kill -0 $(cat "$W/engine/serve.pid"); do sleep 0.05; done; rm -rf "$W/engine"`;

/** Of "docker/IMAGE.tar" of the images, which containerd reads too. */
export function enginesSection(image: string): Section {
  const table = `ctr images import, ${image}`;
  const unpack = (label: string, snapshotter: string, isLimit: boolean): Contender => ({
    table,
    label,
    command: `exec ctr -a "$W/engine/c.sock" images import --snapshotter ${snapshotter} "$I/docker/${image}.tar"`,
    before: START,
    after: STOP,
    needs: ["containerd", "ctr"],
    isLimit,
    ...(isLimit ? {} : { target: { timesLimit: 1 } }),
  });
  return {
    contenders: [
      unpack("limit: containerd's own overlayfs snapshotter", "overlayfs", true),
      unpack("layerctl serve", "layerctl", false),
    ],
  };
}

const LATENCY = fileURLToPath(new URL("./call-latency.ts", import.meta.url));

/** The table of single calls. @throws if the program fails */
export function callLatencies(workplace: string): string {
  const args = ["--max-semi-space-size=2", LATENCY, workplace];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`call-latency: exit ${status}: ${stderr}`);
  return stdout;
}
