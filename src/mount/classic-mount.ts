/**
 * Mounts overlayfs with mount(2), for kernels before 6.8: everything in one option string of at most a page, in which
 * "\", ":" and "," of a path are escaped. Where full paths do not fit, the layers are named by descriptor: as "12", seen
 * from /proc/self/fd, which makes room for all the 500 layers that overlayfs takes.
 */

import { isMainThread } from "node:worker_threads";
import { UnsupportedError } from "../errors.ts";
import { display, type HostPath } from "../paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../sys/file.ts";
import { MS_RDONLY, mount } from "../sys/mount.ts";
import type { MountSpec } from "./mount-spec.ts";
import { kernelOptions } from "./overlay-options.ts";

/** mount(2) copies one page, the last byte being NUL. */
const MAX_OPTION_BYTES = 4095;
const DESCRIPTORS = "/proc/self/fd" as HostPath;

/**
 * The stack is mounted at `spec.target` when this returns.
 * @throws {UnsupportedError} `ERR_MOUNT_OPTIONS_TOO_LONG`
 * @throws PosixError from mount(2)
 */
export function mountWithOptionString(spec: MountSpec, source: string): void {
  const options = optionString(spec, spec.lowerdirs.map(escapePath));
  if (options.length <= MAX_OPTION_BYTES) mount(source, spec.target, "overlay", flagsOf(spec), options);
  else mountByDescriptor(spec, source);
}

/** A path as a value of `lowerdir`, `upperdir` or `workdir`. */
export function escapePath(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

/** What `escapePath` made of a path, undone. */
export function unescapePath(text: string): string {
  return text.replace(/\\(.)/gs, "$1");
}

function flagsOf(spec: MountSpec): number {
  return spec.readOnly ? MS_RDONLY : 0;
}

function optionString(spec: MountSpec, lowerdirs: readonly string[]): string {
  const parts = [`lowerdir=${lowerdirs.join(":")}`];
  if (spec.upperdir !== null) parts.push(`upperdir=${escapePath(spec.upperdir)}`);
  if (spec.workdir !== null) parts.push(`workdir=${escapePath(spec.workdir)}`);
  for (const [name, value] of kernelOptions(spec.options)) parts.push(value === true ? name : `${name}=${value}`);
  return parts.join(",");
}

function mountByDescriptor(spec: MountSpec, source: string): void {
  const descriptors: number[] = [];
  try {
    for (const lowerdir of spec.lowerdirs) descriptors.push(openAt(AT_FDCWD, lowerdir, O_PATH | O_DIRECTORY));
    // Only the main thread may change the working directory.
    const names = descriptors.map((fd) => (isMainThread ? String(fd) : `${DESCRIPTORS}/${fd}`));
    const options = optionString(spec, names);
    if (options.length > MAX_OPTION_BYTES) throw tooLong(spec, options.length);
    inDescriptorDirectory(() => mount(source, spec.target, "overlay", flagsOf(spec), options));
  } finally {
    for (const fd of descriptors) close(fd);
  }
}

function inDescriptorDirectory(action: () => void): void {
  if (!isMainThread) {
    action();
    return;
  }
  const before = process.cwd();
  process.chdir(DESCRIPTORS);
  try {
    action();
  } finally {
    process.chdir(before);
  }
}

function tooLong(spec: MountSpec, sizeBytes: number): UnsupportedError {
  const layers = spec.lowerdirs.length;
  const message =
    `Cannot mount "${display(spec.target)}": its ${layers} layers need ${sizeBytes} bytes of options, mount(2) takes ` +
    `${MAX_OPTION_BYTES}; Linux 6.8 or later has no such limit`;
  return new UnsupportedError("ERR_MOUNT_OPTIONS_TOO_LONG", message, { data: { layers, sizeBytes } });
}
