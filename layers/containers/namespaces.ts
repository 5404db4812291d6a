/** A container's namespaces as the runtime spec has them: what is asked for, with other containers and free ids looked up. */

import { openSync, readlinkSync } from "node:fs";
import { ConflictError, UnsupportedError } from "../../src/errors.ts";
import type { Clock, Namespace, NamespaceType, TimeOffset } from "../../src/exec/runtime-spec.ts";
import { makeUserNamespace } from "../../src/exec/user-namespace.ts";
import { getContainer, listContainers } from "../../src/meta/containers.ts";
import {
  type IdMapping,
  type IdMappings,
  mappingsOfProcess,
  ownMappings,
  parseIdMappings,
  rootOf,
  type SubIdFile,
  stacked,
  subIdsOf,
} from "../../src/mount/id-mapping.ts";
import type { Store } from "../store.ts";
import { findContainer, isHeld } from "./held.ts";
import {
  type NamespaceTexts,
  namespaceMode,
  type PlainNamespace,
  timeOffsetsOf,
  userNamespaceMode,
} from "./namespace-options.ts";
import type { ContainerOptions } from "./options.ts";

export interface NamespacePlan {
  /** All but the network's. */
  readonly namespaces: readonly Namespace[];
  /** Of the user namespace; null if that is this host's. */
  readonly ids: IdMappings | null;
  readonly timeOffsets: Readonly<Partial<Record<Clock, TimeOffset>>>;
  /** "shareable": others may join; "none": the container joined another's. */
  readonly ipc: "private" | "host" | "shareable" | "container";
  /** Who runs the command where neither the user nor the image says. */
  readonly user?: string;
  /** The id of the container whose IPC namespace is joined. */
  readonly ipcOf: number | null;
}

const TYPES: Readonly<Record<PlainNamespace, NamespaceType>> = {
  pid: "pid",
  ipc: "ipc",
  uts: "uts",
  cgroupns: "cgroup",
  timens: "time",
};

/**
 * Looks up what is asked for. Free ids stay free only while the caller holds the lock of who takes some.
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED` for a container that is joined and does not run, `ERR_IPC_PRIVATE`
 * @throws {UnsupportedError} `ERR_NO_SUBIDS`, `ERR_KEEP_ID`
 * @throws as `findContainer` and `checkNamespaces`
 */
export function planNamespaces(store: Store, { namespaces: texts = {} }: ContainerOptions): NamespacePlan {
  const user = userNamespace(store, texts);
  const plain = (Object.keys(TYPES) as readonly PlainNamespace[]).flatMap((type): readonly Namespace[] => {
    const mode = namespaceMode(texts, type);
    if (mode.kind === "host") return [];
    if (mode.kind !== "container") return [{ type: TYPES[type] }];
    return [{ type: TYPES[type], path: namespacePath(joined(store, mode.name).init, TYPES[type]) }];
  });
  const ipc = namespaceMode(texts, "ipc");
  if (ipc.kind === "container") requireShareable(store, ipc.name);
  const all = [{ type: "mount" } as const, ...plain, ...(user === null ? [] : [user.namespace])];
  if (user !== null) refuseForeignProcesses(all);
  return {
    namespaces: all,
    ids: user?.ids ?? null,
    timeOffsets: timeOffsetsOf(texts),
    ...(user?.user !== undefined && { user: user.user }),
    ipc: ipc.kind,
    ipcOf: ipc.kind === "container" ? findContainer(store, ipc.name).id : null,
  };
}

/** /proc shows a pid namespace to those only who may do anything in the user namespace that it belongs to. */
function refuseForeignProcesses(namespaces: readonly Namespace[]): void {
  const [pid, user] = (["pid", "user"] as const).map((type) => namespaces.find((each) => each.type === type));
  if (pid?.path === undefined || pid.path.replace(/pid$/, "user") === user?.path) return;
  const message =
    "Cannot join the processes of a container from another user namespace: join that too, with --userns container:NAME";
  throw new UnsupportedError("ERR_NAMESPACE_OWNER", message);
}

function namespacePath(pid: number, type: NamespaceType): string {
  const names: Partial<Record<NamespaceType, string>> = { network: "net", mount: "mnt" };
  return `/proc/${pid}/ns/${names[type] ?? type}`;
}

/**
 * The first process of a container that is to be joined.
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED`
 * @throws as `findContainer`
 */
export function joined(store: Store, name: string): { readonly id: number; readonly init: number } {
  const { id } = findContainer(store, name);
  const init = getContainer(store.db, id)?.init ?? null;
  if (init !== null && isHeld(store, id)) return { id, init };
  const message = `Cannot join container "${name}": it is not running; start it first ("layerctl start ${name}")`;
  throw new ConflictError("ERR_CONTAINER_STOPPED", message, { data: { name } });
}

function requireShareable(store: Store, name: string): void {
  const row = getContainer(store.db, findContainer(store, name).id);
  const { namespaces = {} } = JSON.parse(row?.options ?? "{}") as Partial<ContainerOptions>;
  if (namespaceMode(namespaces, "ipc").kind !== "private") return;
  const message = `Cannot join the IPC namespace of container "${name}": it is private; make that one with --ipc shareable`;
  throw new ConflictError("ERR_IPC_PRIVATE", message, { data: { name } });
}

function userNamespace(
  store: Store,
  texts: NamespaceTexts,
): { readonly namespace: Namespace; readonly ids: IdMappings; readonly user?: string } | null {
  const mode = userNamespaceMode(texts);
  switch (mode.kind) {
    case "host":
      return null;
    case "keep-id":
      return { namespace: { type: "user" }, ...keptIds() };
    case "container": {
      const { init } = joined(store, mode.name);
      const path = namespacePath(init, "user");
      if (readlinkSync(path) === readlinkSync("/proc/self/ns/user")) return null; // it has this host's
      return { namespace: { type: "user", path }, ids: mappingsOfProcess(init) };
    }
    case "mapped":
      return { namespace: { type: "user" }, ids: givenIds(texts) };
    case "auto":
      return { namespace: { type: "user" }, ids: freeIds(store, mode.size) };
  }
}

/**
 * Ids for a namespace in which this user has his own, and all others are what root's are in the one that is his.
 * @throws {UnsupportedError} `ERR_KEEP_ID` for root
 */
function keptIds(): { readonly ids: IdMappings; readonly user: string } {
  const own = ownMappings();
  if (own === null) {
    const message = "Cannot use --userns keep-id: it gives an ordinary user's id to the container, and this is root";
    throw new UnsupportedError("ERR_KEEP_ID", message);
  }
  const { uid, gid } = rootOf(own);
  return { ids: { uids: kept(uid, own.uids), gids: kept(gid, own.gids) }, user: `${uid}:${gid}` };
}

/** `id` is 0 outside, and what is below it one more. */
function kept(id: number, own: readonly IdMapping[]): readonly IdMapping[] {
  const size = own.reduce((sum, range) => sum + range.size, 0);
  const below = Math.min(id, size - 1);
  return [
    { containerID: 0, hostID: 1, size: below },
    { containerID: id, hostID: 0, size: 1 },
    { containerID: id + 1, hostID: below + 1, size: size - below - 1 },
  ].filter((range) => range.size > 0);
}

/** The name under which /etc/subuid has what is for containers of root, as podman has it. */
const OWNER = "containers";

function givenIds(texts: NamespaceTexts): IdMappings {
  const { uidmap, gidmap, subuidname, subgidname } = texts;
  const isByName = uidmap === undefined && gidmap === undefined;
  if (isByName) {
    const [users, groups] = [subuidname ?? subgidname ?? OWNER, subgidname ?? subuidname ?? OWNER];
    return { uids: stacked(ranges("/etc/subuid", users)), gids: stacked(ranges("/etc/subgid", groups)) };
  }
  const [uids, gids] = [uidmap ?? gidmap ?? [], gidmap ?? uidmap ?? []].map(parseIdMappings);
  return { uids: uids ?? [], gids: gids ?? [] };
}

function ranges(file: SubIdFile, name: string): ReturnType<typeof subIdsOf> {
  const found = subIdsOf(file, name);
  if (found.length > 0) return found;
  const message = `Cannot give ids to a user namespace: ${file} has none for "${name}"; add a line such as "${name}:1000000:1048576"`;
  throw new UnsupportedError("ERR_NO_SUBIDS", message, { data: { file, name } });
}

/** The first ids of the host that are for containers and that no container of this store has now: the same for groups. */
function freeIds(store: Store, size: number): IdMappings {
  const running = listContainers(store.db).filter(({ snapshot, init }) => init !== null && isHeld(store, snapshot));
  const taken = running.flatMap(({ init }) => (init === null ? [] : mappingsOf(init)));
  const free = (file: SubIdFile): number | undefined =>
    ranges(file, OWNER)
      .flatMap(({ hostID, size: length }) => {
        const starts = [hostID, ...taken.map((each) => each.hostID + each.size)];
        return starts.filter((start) => start >= hostID && start + size <= hostID + length);
      })
      .sort((a, b) => a - b)
      .find((start) => taken.every((each) => start + size <= each.hostID || start >= each.hostID + each.size));
  const [uid, gid] = [free("/etc/subuid"), free("/etc/subgid")];
  if (uid !== undefined && gid !== undefined) {
    return { uids: [{ containerID: 0, hostID: uid, size }], gids: [{ containerID: 0, hostID: gid, size }] };
  }
  const message = `Cannot give ${size} ids to a user namespace: no such range is left of those that /etc/subuid and /etc/subgid have for "${OWNER}"`;
  throw new UnsupportedError("ERR_NO_SUBIDS", message, { data: { size, name: OWNER } });
}

function mappingsOf(init: number): IdMappings["uids"] {
  try {
    const { uids, gids } = mappingsOfProcess(init);
    return [...uids, ...gids].filter(({ hostID }) => hostID > 0); // this host's own namespace has all of them
  } catch {
    return []; // it has ended
  }
}

/** The user namespace of a plan, made or joined: its descriptor, which the caller closes; null if it is this host's. */
export async function openUserNamespace({ namespaces, ids }: NamespacePlan): Promise<number | null> {
  if (ids === null) return null;
  const path = namespaces.find(({ type }) => type === "user")?.path;
  return path === undefined ? await makeUserNamespace(ids) : openSync(path, "r");
}
