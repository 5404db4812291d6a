/** Limits of a container, as the OCI runtime spec has them (config-linux.md, "Control groups"). */

/** What a rule of the device controller says about devices: of one kind or both, with these numbers or any. */
export interface DeviceRule {
  readonly allow: boolean;
  readonly type?: "c" | "b";
  readonly major?: number;
  readonly minor?: number;
  /** Of "r", "w" and "m" (mknod). */
  readonly access: string;
}

/** The most that is read or written of one device in a second: bytes, or operations. */
export interface Throttle {
  readonly major: number;
  readonly minor: number;
  readonly rate: number;
}

export interface Resources {
  readonly memory?: {
    readonly limit?: number;
    /** What it gets back first where memory is short is what is above this. */
    readonly reservation?: number;
    /** Memory and swap together; -1: no limit. */
    readonly swap?: number;
    /** Who uses up the memory waits instead of being killed. */
    readonly disableOOMKiller?: boolean;
  };
  readonly cpu?: {
    readonly shares?: number;
    /** Microseconds of every `period`. */
    readonly quota?: number;
    readonly period?: number;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit: number };
  readonly blockIO?: {
    /** From 10 to 1000. */
    readonly weight?: number;
    readonly throttleReadBpsDevice?: readonly Throttle[];
    readonly throttleWriteBpsDevice?: readonly Throttle[];
    readonly throttleReadIOPSDevice?: readonly Throttle[];
    readonly throttleWriteIOPSDevice?: readonly Throttle[];
  };
  /** The first is about all devices; what else is allowed follows, beside what every container has. */
  readonly devices: readonly DeviceRule[];
}

/** True if every device may be opened. */
export function allowsAllDevices({ devices }: Resources): boolean {
  return devices[0]?.allow === true;
}
