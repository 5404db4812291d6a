/**
 * Scopes: groups that systemd knows, so that it neither takes their controllers away nor counts their processes as somebody
 * else's. It makes one around a process that runs (org.freedesktop.systemd1(5), StartTransientUnit), leaves us what is below
 * (Delegate=), and removes it with its last process. busctl(1) calls it.
 */

import { execFile, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { UnsupportedError, UsageError } from "../../errors.ts";
import { canRestoreOwners } from "../../privilege.ts";
import { findHierarchies } from "./hierarchies.ts";
import { type CgroupDriver, isOfUser, type Scope } from "./place.ts";

const BUSCTL = "/usr/bin/busctl";
/** Is there where systemd is process 1 (sd_booted(3)). */
const BOOTED = "/run/systemd/system";
const SYSTEM_BUS = "/run/dbus/system_bus_socket";

/** The socket of root's systemd, or of the user's own, which delegates what was delegated to it. */
function busPath(): string {
  return canRestoreOwners() ? SYSTEM_BUS : join(process.env.XDG_RUNTIME_DIR ?? "/nonexistent", "bus");
}

/**
 * The driver that is to be used: systemd's where it runs and cgroups are version 2, which it shares with nobody.
 * @throws {UnsupportedError} `ERR_CGROUP_DRIVER` if `asked` cannot be had here
 * @throws {UsageError} `ERR_CGROUP_DRIVER` for an unknown one
 */
export function chooseDriver(asked: string): CgroupDriver {
  if (asked === "cgroupfs") return asked;
  if (asked !== "auto" && asked !== "systemd") {
    throw new UsageError("ERR_CGROUP_DRIVER", `Cannot use cgroup driver "${asked}": it is auto, cgroupfs or systemd`);
  }
  const lacks = whatSystemdLacks();
  if (lacks === null) return "systemd";
  if (asked === "auto") return "cgroupfs";
  throw new UnsupportedError("ERR_CGROUP_DRIVER", `Cannot use cgroup driver "systemd": ${lacks}; use cgroupfs`);
}

function whatSystemdLacks(): string | null {
  if (!existsSync(BOOTED)) return "systemd is not process 1 here";
  if (findHierarchies().version !== 2) return "this host has cgroup v1";
  const missing = [BUSCTL, busPath()].find((path) => !existsSync(path));
  return missing === undefined ? null : `there is no "${missing}"`;
}

/** Waits for its standard input to end, and is small. */
const HOLDER = "/bin/cat";
const PATIENCE_MS = 10_000;
const TURN_MS = 2;
/** How long what runs in it may take to end when the machine is switched off: docker's. */
const STOP_TIMEOUT_US = 10_000_000;

/**
 * Starts a process that ends when it is killed, or with this one: systemd removes a scope with its last process, before
 * anybody could read there whether its memory was used up.
 * @throws {UnsupportedError} `ERR_SYSTEMD`
 */
export function startHolder(): number {
  const holder = spawn(HOLDER, { stdio: ["pipe", "ignore", "ignore"], cwd: "/", env: {}, detached: true });
  holder.on("error", () => {}); // it has no process id then
  holder.unref();
  (holder.stdin as Socket).unref();
  if (holder.pid === undefined) throw new UnsupportedError("ERR_SYSTEMD", `Cannot start "${HOLDER}": it is not there`);
  return holder.pid;
}

/**
 * Makes a scope with these processes in it, which have been moved when this settles.
 * @throws {UnsupportedError} `ERR_SYSTEMD` with what systemd says
 */
export async function startScope(scope: Scope, pids: readonly number[]): Promise<void> {
  const { slice, unit } = scope;
  const properties = [
    ["Description", "s", "container of layerctl"],
    ["Slice", "s", slice],
    ["PIDs", "au", String(pids.length), ...pids.map(String)],
    ["Delegate", "b", "true"],
    ["CollectMode", "s", "inactive-or-failed"],
    ["TimeoutStopUSec", "t", String(STOP_TIMEOUT_US)],
  ];
  const manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
  const values = [unit, "fail", String(properties.length), ...properties.flat(), "0"];
  const address = `unix:path=${busPath()}`;
  const environment = {
    LC_ALL: "C",
    [isOfUser(scope) ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS"]: address,
  };
  try {
    const args = [
      "--quiet",
      ...(isOfUser(scope) ? ["--user"] : []),
      "call",
      ...manager,
      "StartTransientUnit",
      "ssa(sv)a(sa(sv))",
      ...values,
    ];
    await promisify(execFile)(BUSCTL, args, { env: environment, timeout: PATIENCE_MS });
  } catch (error) {
    const said = (error as { readonly stderr?: string }).stderr?.trim() || (error as Error).message;
    throw failed(unit, said, error);
  }
  const isIn = (pid: number): boolean => groupOf(pid).endsWith(`/${unit}`);
  for (const deadline = Date.now() + PATIENCE_MS; !pids.every(isIn); await sleep(TURN_MS)) {
    if (Date.now() > deadline) throw failed(unit, "systemd has made it, but the process is not in it");
  }
}

function groupOf(pid: number): string {
  return /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "latin1"))?.[1] ?? "";
}

function failed(unit: string, said: string, cause?: unknown): UnsupportedError {
  const message = `Cannot make "${unit}": ${said}; --cgroup-driver cgroupfs does without systemd`;
  return new UnsupportedError("ERR_SYSTEMD", message, { data: { unit }, cause });
}
