/** containerd's configuration (containerd-config.toml(5)): `layerctl serve` as a snapshotter called "layerctl". */

import { ConflictError } from "../../src/errors.ts";
import { display, type HostPath } from "../../src/paths.ts";
import { type ConfigChange, checkChange, readConfig } from "./config-change.ts";
import { parseToml, valueAt, withLines, withoutMarks } from "./toml-edit.ts";

const PLUGIN = ["proxy_plugins", "layerctl"];

/**
 * A change of `path`, so that containerd asks at `socket`.
 * @throws {ConflictError} `ERR_CONFIG_FILE` if a plugin of this name is there that we did not put in
 */
export function containerdChange(path: HostPath, socket: string): ConfigChange {
  const before = withoutMarks(readConfig(path) ?? "");
  const lines = ["[proxy_plugins.layerctl]", '  type = "snapshot"', `  address = ${JSON.stringify(socket)}`];
  if (valueAt(parseToml(before, path), PLUGIN) !== undefined) {
    const state = "it has a proxy plugin of the name layerctl already";
    throw new ConflictError("ERR_CONFIG_FILE", `Cannot change "${display(path)}": ${state}`, { data: { path } });
  }
  const start = before.trim() === "" ? ["version = 2"] : [];
  const change = { path, wanted: `${lines.join("\n")}\n`, content: withLines(before, [...start, ...lines]) };
  checkChange(change, [{ keys: PLUGIN, value: { type: "snapshot", address: socket } }]);
  return change;
}
