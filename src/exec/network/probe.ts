/** Whether this host can have a bridge for containers, found out by making one in a network namespace that is thrown away. */

import { isSystemError, LayerctlError } from "../../errors.ts";
import type { HostCheck } from "../../mount/probe.ts";
import { close } from "../../sys/file.ts";
import { inNetworkNamespace, makeNetworkNamespace } from "../../sys/namespaces.ts";
import { bridgeName, connectContainer, makeBridge } from "./bridge.ts";
import { macOf } from "./ipv4.ts";
import { applyRules, type Bridge } from "./rules.ts";

const BRIDGE: Bridge = { name: bridgeName("000000"), block: { first: 0xac1d_0000, bits: 22 } };
const CONTAINER = { container: 1, address: 0xac1d_0002, mac: macOf(0xac1d_0002) };

/** Nothing stays behind. */
export async function probeBridge(): Promise<HostCheck> {
  const name = "bridge network";
  using stack = new DisposableStack();
  try {
    const [host, inside] = [0, 1].map(() => stack.adopt(makeNetworkNamespace(), close)) as [number, number];
    const rules = inNetworkNamespace(host, () => {
      makeBridge(BRIDGE);
      connectContainer(BRIDGE, CONTAINER, inside);
      return applyRules(BRIDGE, []); // nft(8) is started here
    });
    await rules;
    return { name, works: true, detail: "for --network bridge and -p: bridge, veth and nftables work" };
  } catch (error) {
    if (!isSystemError(error) && !(error instanceof LayerctlError)) throw error;
    const advice = "run as root, with nftables installed; --network none and host need neither";
    return { name, works: false, detail: error.message, advice };
  }
}
