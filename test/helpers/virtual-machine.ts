/**
 * Runs a shell script in a virtual machine that is what this one may not be: systemd is process 1, and cgroups are version 2.
 * Its kernel is one of Debian's (scripts/setup-vm), its root this host's: read only, with a tmpfs over it. Emulated where there
 * is no KVM: some 20 seconds until the script begins, and programs 10 to 30 times slower.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryDirectory } from "./temporary.ts";

const PARTS = "/var/cache/layerctl-tests/vm";
const KERNEL = join(PARTS, "vmlinuz");
const INITRD = join(PARTS, "initrd");
const QEMU = "/usr/bin/qemu-system-x86_64";
const VIRTIOFSD = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"].find((path) => existsSync(path));

const MEMORY_MIB = 1536;
const PATIENCE_MS = 600_000;

/** True if scripts/setup-vm has made what a machine needs. */
export function hasVirtualMachine(): boolean {
  return VIRTIOFSD !== undefined && [QEMU, join(PARTS, "ready")].every((path) => existsSync(path));
}

/** What a script printed, standard error too, and its exit code. */
export interface GuestOutcome {
  readonly output: string;
  readonly exitCode: number;
}

/** Of a directory with our files, at /job in the guest. Sourced by the init of the ramdisk: /new is the root to be. */
const PREPARE = `
rm -f /new/.dockerenv; : >/new/etc/fstab; echo guest >/new/etc/hostname; ip link set lo up
mount -t tmpfs none /new/lib/systemd/system-generators
units=/new/etc/systemd/system
mkdir -p $units/dbus.socket.d $units/dbus.service.d
for unit in dbus.socket dbus.service; do printf '[Unit]\\nDefaultDependencies=no\\n' >$units/$unit.d/early.conf; done
cp /new/job/unit $units/layerctl-test.service
`;

/** Nothing but D-Bus and the script: no udev, no logins. */
const UNIT = `[Unit]
DefaultDependencies=no
Requires=dbus.socket
After=dbus.socket
AllowIsolate=yes
[Service]
Type=oneshot
TimeoutStartSec=infinity
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
ExecStart=/bin/sh -c 'sh /job/script >/job/output 2>&1; echo $? >/job/code; sync; echo b >/proc/sysrq-trigger'
`;

const COMMAND_LINE = [
  "console=ttyS0 quiet panic=-1 mitigations=off audit=0 no_timer_check random.trust_cpu=on",
  "systemd.unit=layerctl-test.service systemd.unified_cgroup_hierarchy=1 systemd.show_status=0",
].join(" ");

/** @throws if the machine ends without a result, with the end of what it said on its console */
export async function runInVirtualMachine(script: string): Promise<GuestOutcome> {
  await using directory = temporaryDirectory();
  const job = join(directory.path, "job");
  mkdirSync(job);
  writeFileSync(join(job, "script"), script);
  writeFileSync(join(job, "prepare"), PREPARE);
  writeFileSync(join(job, "unit"), UNIT);
  await using children = new AsyncDisposableStack();
  const shares = [
    await share(children, directory.path, "host", "/", "always"),
    await share(children, directory.path, "job", job, "none"),
  ];
  const consoleFile = join(directory.path, "console");
  const machine = start(children, QEMU, [...machineArguments(consoleFile), ...shares.flat()]);
  const patience = setTimeout(() => machine.kill("SIGKILL"), PATIENCE_MS);
  await once(machine, "close");
  clearTimeout(patience);
  const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");
  const code = read(join(job, "code"));
  if (code !== "") return { output: read(join(job, "output")), exitCode: Number(code) };
  throw new Error(`no result of the virtual machine: ${read(join(job, "output"))}\n${read(consoleFile).slice(-3_000)}`);
}

function machineArguments(consoleFile: string): readonly string[] {
  const hasKvm = existsSync("/dev/kvm") && /\b(?:vmx|svm)\b/.test(readFileSync("/proc/cpuinfo", "latin1"));
  const processor = hasKvm ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"];
  return [
    ...["-machine", "q35", ...processor, "-smp", "2", "-m", String(MEMORY_MIB), "-nodefaults", "-no-reboot"],
    ...["-object", `memory-backend-memfd,id=memory,size=${MEMORY_MIB}M,share=on`, "-numa", "node,memdev=memory"],
    ...["-display", "none", "-serial", `file:${consoleFile}`, "-device", "virtio-rng-pci"],
    ...["-kernel", KERNEL, "-initrd", INITRD, "-append", COMMAND_LINE],
  ];
}

/** Serves `source` to the machine as `tag`; the result are the machine's arguments for it. */
async function share(
  children: AsyncDisposableStack,
  directory: string,
  tag: string,
  source: string,
  cache: string,
): Promise<readonly string[]> {
  const socket = join(directory, `${tag}.socket`);
  const options = ["-o", `source=${source}`, "-o", `cache=${cache}`, "-o", "xattr", "-o", "sandbox=chroot"];
  const server = start(children, VIRTIOFSD ?? "", [`--socket-path=${socket}`, ...options]);
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error(`virtiofsd ended with ${server.exitCode}`);
    await sleep(10);
  }
  return ["-chardev", `socket,id=${tag},path=${socket}`, "-device", `vhost-user-fs-pci,chardev=${tag},tag=${tag}`];
}

/** Ended, and waited for, when the stack is disposed. */
function start(children: AsyncDisposableStack, program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: "ignore" });
  const closed = once(child, "close");
  children.defer(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  return child;
}
