/** An OCI bundle of an image: a snapshot mounted at `rootfs`, and a config.json beside it. */

import { closeSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ConflictError, isErrno, UsageError } from "../../src/errors.ts";
import { writeBundle } from "../../src/exec/oci-runtime.ts";
import type { Hook } from "../../src/exec/runtime-spec.ts";
import { rootOf } from "../../src/mount/id-mapping.ts";
import { bytesOf, display, type HostPath, joinHost } from "../../src/paths.ts";
import { imageOfRow } from "../image.ts";
import { canonicalPath } from "../mount-target.ts";
import { mountImage } from "../mounts.ts";
import { findImage } from "../resolve-image.ts";
import { removeSnapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { unmount } from "../unmount.ts";
import { cgroupName } from "./containers.ts";
import { refuseTaken } from "./held.ts";
import { openUserNamespace, planNamespaces } from "./namespaces.ts";
import { prepareNetwork } from "./network.ts";
import type { ContainerOptions } from "./options.ts";
import { ownMounts } from "./own-files.ts";
import { checkOptions, containerSpec, volumesOf } from "./spec.ts";
import { makeVolumes } from "./volumes.ts";

export interface BundleRequest {
  readonly options: ContainerOptions;
  readonly name?: string;
  /** The snapshot goes with the container. */
  readonly remove?: boolean;
  readonly signal?: AbortSignal;
}

export interface Bundle {
  /** Of the snapshot. */
  readonly name: string;
  readonly directory: HostPath;
}

/**
 * Writes the bundle into `text`, a directory that is empty or is made. Nothing is left if it fails.
 * @throws {ConflictError} `ERR_BUNDLE_EXISTS`
 * @throws as `createContainer` and `mountImage`
 */
export async function bundleImage(
  store: Store,
  reference: string,
  text: string,
  request: BundleRequest,
): Promise<Bundle> {
  const { row, reference: fullName } = findImage(store, reference);
  const config = imageOfRow(store, row).config.config ?? {};
  checkOptions(config, request.options);
  refuseBridge(request.options);
  if (request.name !== undefined) refuseTaken(store, request.name);
  const directory = canonicalPath(text);
  const plan = planNamespaces(store, request.options);
  makeEmpty(directory);
  const userNamespace = await openUserNamespace(plan);
  using _closed = { [Symbol.dispose]: () => userNamespace !== null && closeSync(userNamespace) };
  const { snapshot, target } = await mountImage(store, fullName ?? row.digest, {
    init: true,
    target: bytesOf(joinHost(directory, "rootfs")).toString(),
    ...(plan.ids !== null && userNamespace !== null && { idMap: { ...plan.ids, userNamespace } }),
    ...(request.name !== undefined && { name: request.name }),
    ...(request.signal !== undefined && { signal: request.signal }),
  });
  try {
    const { id, name } = snapshot;
    const { options } = request;
    const files = joinHost(directory, "etc");
    using network = await prepareNetwork(store, { id, name, options, config, files, ids: plan.ids });
    const cgroup = cgroupName(store, name);
    const mounts = ownMounts(network.files);
    await makeVolumes(store, volumesOf(options), target, plan.ids === null ? { uid: 0, gid: 0 } : rootOf(plan.ids));
    const { volumes } = store.layout;
    const spec = containerSpec({ config, options, rootfs: target, network, cgroup, ownMounts: mounts, volumes, plan });
    const hooks = { poststop: hooksAfter(store, snapshot.name, request.remove ?? false) };
    writeBundle(directory, { ...spec, root: { ...spec.root, path: "rootfs" }, hooks });
    return { name: snapshot.name, directory };
  } catch (error) {
    await unmount(store, snapshot.name);
    await removeSnapshot(store, snapshot.name);
    for (const name of ["etc", "config.json"])
      rmSync(bytesOf(joinHost(directory, name)), { recursive: true, force: true });
    throw error;
  }
}

/** The command line as it was built; a checkout runs the source. */
const COMMAND = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../../cli/start.ts" : "./cli.cjs", import.meta.url),
);
const SYSTEM_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** When the runtime has deleted the container, its root is unmounted, and with `remove` the snapshot removed. */
function hooksAfter(store: Store, name: string, remove: boolean): readonly Hook[] {
  const root = bytesOf(store.layout.root).toString(); // UTF-8: SQLite takes no other
  const hook = (...verb: readonly string[]): Hook => ({
    path: process.execPath,
    args: ["node", COMMAND, "--root", root, ...verb],
    env: [SYSTEM_PATH],
  });
  return [hook("umount", name), ...(remove ? [hook("rm", name)] : [])];
}

/** A bundle is started by somebody who does nothing about it. */
function refuseBridge({ network }: ContainerOptions): void {
  if (network !== "bridge") return;
  const state = "who runs the bundle would have to connect it; use none, host or ns:/PATH";
  throw new UsageError("ERR_NETWORK_OPTION", `Cannot use --network bridge in a bundle: ${state}`, {
    data: { network },
  });
}

function makeEmpty(directory: HostPath): void {
  try {
    mkdirSync(bytesOf(directory), { mode: 0o755 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    if (readdirSync(bytesOf(directory)).length === 0) return;
    const message = `Cannot write a bundle to "${display(directory)}": it is not empty`;
    throw new ConflictError("ERR_BUNDLE_EXISTS", message, { data: { directory: display(directory) } });
  }
}
