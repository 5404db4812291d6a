/** The options of a container's network, as docker spells them. */

import { type Command, Option } from "commander";
import type { NetworkTexts } from "../layers/containers/network-options.ts";
import { list } from "./list-option.ts";

/** As commander gives them. */
export interface NetworkFlags extends Omit<NetworkTexts, "aliases" | "dnsOptions"> {
  readonly network?: string;
  /** The same: docker's older name. */
  readonly net?: string;
  readonly networkAlias?: readonly string[];
  readonly dnsOption?: readonly string[];
}

export function defineNetworkOptions(command: Command): Command {
  return command
    .option(
      "--network <network>",
      "none: only a loopback of its own; bridge: an address and the others' names, the way out, and ports of this host; host: this host's; container:NAME: another's; ns:/PATH (default: none, or bridge where an option needs it)",
    )
    .addOption(new Option("--net <network>").hideHelp())
    .addOption(
      list("-p, --publish <port>", "[[IP:]HOST:]CONTAINER[/udp]: a port of this host leads to the container's"),
    )
    .option("-P, --publish-all", "any free port of this host for each that the image or --expose names")
    .addOption(list("--expose <port>", "PORT[/udp]: a port that -P publishes"))
    .option("--ip <address>", "on the bridge (default: the first that is free)")
    .option("--mac-address <address>", "on the bridge (default: made of its address)")
    .addOption(list("--network-alias <name>", "one more name by which the others on the bridge find it"))
    .addOption(list("--add-host <name:address>", "a line of /etc/hosts; the address host-gateway is this host's"))
    .addOption(list("--dns <address>", "a name server (default: this host's)"))
    .addOption(list("--dns-search <domain>", 'a domain in which names are looked for; "." for none'))
    .addOption(list("--dns-option <option>", "an option of resolv.conf"));
}

/** The network that was asked for; one that ports or addresses are asked of is the bridge. */
export function networkOf(flags: NetworkFlags): { readonly network: string; readonly networking: NetworkTexts } {
  const { publish, publishAll, expose, ip, macAddress, networkAlias, addHost, dns, dnsSearch, dnsOption } = flags;
  const isOfBridge = [publish, publishAll, ip, macAddress, networkAlias].some((value) => value !== undefined);
  return {
    network: flags.network ?? flags.net ?? (isOfBridge ? "bridge" : "none"),
    networking: {
      ...(publish !== undefined && { publish }),
      ...(publishAll !== undefined && { publishAll }),
      ...(expose !== undefined && { expose }),
      ...(ip !== undefined && { ip }),
      ...(macAddress !== undefined && { macAddress }),
      ...(networkAlias !== undefined && { aliases: networkAlias }),
      ...(addHost !== undefined && { addHost }),
      ...(dns !== undefined && { dns }),
      ...(dnsSearch !== undefined && { dnsSearch }),
      ...(dnsOption !== undefined && { dnsOptions: dnsOption }),
    },
  };
}
