/** What a container may do with devices: as docker and podman have it (runtime-spec, config-linux.md, "Default Devices"). */

import { allowsAllDevices, type DeviceRule, type Resources } from "./resources.ts";

function rule(access: string, type: "c" | "b", major?: number, minor?: number): DeviceRule {
  return {
    allow: true,
    type,
    ...(major !== undefined && { major }),
    ...(minor !== undefined && { minor }),
    access,
  };
}

/** Making any device, but not opening it; null, zero, full, random, urandom, tty, console, ptmx, and terminals. */
const DEFAULT_RULES: readonly DeviceRule[] = [
  rule("m", "c"),
  rule("m", "b"),
  ...[3, 5, 7, 8, 9].map((minor) => rule("rwm", "c", 1, minor)),
  ...[0, 1, 2].map((minor) => rule("rwm", "c", 5, minor)),
  rule("rwm", "c", 136),
];

/** Everything that is allowed; null if that is everything there is. */
export function allowedDevices(resources: Resources): readonly DeviceRule[] | null {
  return allowsAllDevices(resources) ? null : [...DEFAULT_RULES, ...resources.devices.slice(1)];
}

/** True if the user wants less than everything with a device that the container has, which only the controller can hold. */
export function mustHoldDevices({ devices }: Resources): boolean {
  return devices.slice(1).some(({ access }) => !["r", "w", "m"].every((each) => access.includes(each)));
}
