/** A host's network of a test's own, and a machine beside it: nothing of this host's network is seen or changed. */

import { spawnSync } from "node:child_process";
import { inNetworkNamespace, joinNetworkNamespace, makeNetworkNamespace } from "../../src/sys/namespaces.ts";

/** The addresses of the two, on the one link between them. */
export const HOST = "192.0.2.1";
export const NEIGHBOUR = "192.0.2.2";

/** The machine beside the host. */
export interface Neighbour {
  /** Runs a shell script there: its standard output without the last newline. */
  shell(script: string): string;
}

/**
 * Moves this process's main thread, and all that it starts from now on, into a network namespace of its own with a loopback
 * and a neighbour, between which the host forwards. It goes with the process.
 */
export function enterOwnNetwork(): Neighbour {
  joinNetworkNamespace(makeNetworkNamespace());
  const neighbour = makeNetworkNamespace();
  const path = `/proc/${process.pid}/fd/${neighbour}`;
  must(`echo 1 >/proc/sys/net/ipv4/ip_forward && ip link set lo up && ip link add out type veth peer name in && ip link set in netns ${path} &&
    ip addr add ${HOST}/24 dev out && ip link set out up &&
    nsenter --net=${path} sh -c 'ip link set lo up && ip addr add ${NEIGHBOUR}/24 dev in && ip link set in up'`);
  return { shell: (script) => inNetworkNamespace(neighbour, () => must(script)) };
}

/** Runs a shell script, which must succeed: its standard output without the last newline. */
export function must(script: string): string {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", script], { encoding: "utf8", timeout: 60_000 });
  if (status !== 0) throw new Error(`${script}: exit ${status}: ${stdout}${stderr}`);
  return stdout.replace(/\n$/, "");
}

/** Links, addresses, routes and rules, as they are now. */
export function networkState(): string {
  return must("ip -o link; ip -o -4 addr; ip -4 route show table all; nft list ruleset");
}
