/** A store with an image to mount, for tests of mounts. */

import type { Image } from "../../layers/image.ts";
import { lowerdirsOf } from "../../layers/image.ts";
import { Store } from "../../layers/store.ts";
import { type LogFields, silentLogger } from "../../src/log.ts";
import { mountsBelow } from "../../src/mount/mount-info.ts";
import type { HostPath } from "../../src/paths.ts";
import { MNT_DETACH, umount } from "../../src/sys/mount.ts";
import { addStoredImage } from "./stored-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "./temporary.ts";
import { writeTree } from "./tree.ts";

export interface Scene {
  readonly directory: TemporaryDirectory;
  readonly store: Store;
  readonly image: Image;
  readonly events: string[];
}

/** A store with the image debian:12 of two layers; whatever a test leaves mounted is unmounted. */
export async function withStore(act: (scene: Scene) => Promise<void>): Promise<void> {
  await using directory = temporaryDirectory();
  const events: string[] = [];
  const warn = (event: string, fields?: LogFields): void => {
    events.push(`${event} ${fields?.target}`);
  };
  using store = Store.open(directory.host("store"), { logger: { ...silentLogger, warn } });
  const image = await addStoredImage(store, { layers: ["a", "b"], references: ["debian:12"], unpack: true });
  const [top = "" as HostPath, base = "" as HostPath] = lowerdirsOf(store, image);
  writeTree(base, "etc/x=1 etc/y=2");
  writeTree(top, "-etc/y etc/z=3");
  try {
    await act({ directory, store, image, events });
  } finally {
    for (const mount of mountsBelow(directory.host()).toReversed()) umount(mount.target, MNT_DETACH);
  }
}
