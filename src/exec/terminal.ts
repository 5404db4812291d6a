/** The terminal of a container: of its own devpts, so that nothing of the host's is in it (pty(7), devpts). */

import { chown, close, O_NOFOLLOW, O_PATH, O_RDWR, openInRoot } from "../sys/file.ts";
import { unlockTerminal } from "../sys/terminal.ts";
import { descriptorPath, withPath } from "./in-root.ts";
import { bindDevice } from "./rootfs.ts";
import type { ContainerUser } from "./runtime-spec.ts";

const O_NOCTTY = 0o400;

/**
 * Makes the first terminal of the container whose root is open, for its user, also at /dev/console: the master's
 * descriptor, which the caller closes. The container finds it as /dev/pts/0.
 * @throws PosixError
 */
export function openTerminal(root: number, { uid }: ContainerUser): number {
  const master = openInRoot(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY);
  try {
    unlockTerminal(master);
    const slave = openInRoot(root, "dev/pts/0", O_PATH | O_NOFOLLOW);
    try {
      withPath(root, "dev/pts/0", (fd) => chown(fd, null, uid, 5));
      bindDevice(root, descriptorPath(slave), "/dev/console");
    } finally {
      close(slave);
    }
    return master;
  } catch (error) {
    close(master);
    throw error;
  }
}
