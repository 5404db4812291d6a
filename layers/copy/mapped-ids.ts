/** Owners between a container with a user namespace and this host: its ids are others here (user_namespaces(7)). */

import { containerIdOf, hostIdOf, type IdMappings, rootOf } from "../../src/mount/id-mapping.ts";
import { asFileOwner } from "../../src/sys/file-owner.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { TarHandler } from "../tar/reader.ts";

/** Entries with the container's ids, for a handler that makes them in its tree, where this host's root has no place. */
export function intoContainer(handler: TarHandler, ids: IdMappings): TarHandler {
  const root = rootOf(ids);
  const asRoot = (work: () => void): void => asFileOwner(root.uid, root.gid, work);
  const mapped = (entry: TarEntry): TarEntry => ({
    ...entry,
    uid: hostIdOf(ids.uids, entry.uid) ?? root.uid,
    gid: hostIdOf(ids.gids, entry.gid) ?? root.gid,
  });
  return {
    entry: (entry) => asRoot(() => handler.entry(mapped(entry))),
    data: (bytes, offset) => handler.data(bytes, offset),
    end: () => asRoot(() => handler.end()),
  };
}

/** Entries as this host sees them in the container's tree, for a handler that wants the container's ids. */
export function outOfContainer(handler: TarHandler, ids: IdMappings): TarHandler {
  return {
    entry: (entry) => {
      const [uid, gid] = [containerIdOf(ids.uids, entry.uid), containerIdOf(ids.gids, entry.gid)];
      handler.entry({ ...entry, uid: uid ?? entry.uid, gid: gid ?? entry.gid });
    },
    data: (bytes, offset) => handler.data(bytes, offset),
    end: () => handler.end(),
  };
}
