/** The terminal of a container: of its own devpts, so that nothing of the host's is in it (pty(7), devpts). */

import { PosixError } from "../errors.ts";
import { hostIdOf, type IdMappings } from "../mount/id-mapping.ts";
import { chown, close, O_NOFOLLOW, O_PATH, O_RDWR, openInRoot, S_IFCHR, S_IFMT } from "../sys/file.ts";
import { statAt } from "../sys/stat.ts";
import { openPeer, unlockTerminal } from "../sys/terminal.ts";
import { TTY_GROUP } from "./default-mounts.ts";
import { descriptorPath, withPath } from "./in-root.ts";
import { bindDevice } from "./rootfs.ts";
import { type ContainerUser, idMappingsOf, type RuntimeSpec } from "./runtime-spec.ts";

const O_NOCTTY = 0o400;
/** For chown(2). */
const UNCHANGED = 0xffff_ffff;

/**
 * Makes the first terminal of the container whose root is open, for its user, also at /dev/console: the master's
 * descriptor, which the caller closes. The container finds it as /dev/pts/0.
 * @throws PosixError
 */
export function openTerminal(root: number, spec: RuntimeSpec): number {
  const { uid, gid } = ownerOf(spec.process.user, idMappingsOf(spec));
  const master = openInRoot(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY);
  try {
    unlockTerminal(master);
    const slave = openInRoot(root, "dev/pts/0", O_PATH | O_NOFOLLOW);
    try {
      withPath(root, "dev/pts/0", (fd) => chown(fd, null, uid, gid));
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

export interface TerminalPair {
  /** Both are the caller's to close. */
  readonly master: number;
  /** What is to be a command's standard input, output and error. */
  readonly slave: number;
}

const ENODEV = 19;

/**
 * Makes one more terminal in a container that runs, for `user`, as `ids` map it; nothing is looked up in it but its own /dev/pts/ptmx.
 * @throws PosixError `ENODEV` if that is something else
 */
export function openAnotherTerminal(root: number, user: ContainerUser, ids: IdMappings | null): TerminalPair {
  const { uid, gid } = ownerOf(user, ids);
  const place = openInRoot(root, "dev/pts/ptmx", O_PATH);
  try {
    const { mode, rdevMajor, rdevMinor } = statAt(place, null);
    const isMultiplexer = (mode & S_IFMT) === S_IFCHR && rdevMajor === 5 && rdevMinor === 2;
    if (!isMultiplexer) throw new PosixError(ENODEV, "open", "/dev/pts/ptmx");
  } finally {
    close(place);
  }
  const master = openInRoot(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY);
  try {
    unlockTerminal(master);
    const slave = openPeer(master);
    chown(slave, null, uid, gid);
    return { master, slave };
  } catch (error) {
    close(master);
    throw error;
  }
}

/** As this host numbers them: the user, and the group "tty", which the file keeps as it is where the container has none. */
function ownerOf({ uid }: ContainerUser, ids: IdMappings | null): { readonly uid: number; readonly gid: number } {
  if (ids === null) return { uid, gid: TTY_GROUP };
  return { uid: hostIdOf(ids.uids, uid) ?? UNCHANGED, gid: hostIdOf(ids.gids, TTY_GROUP) ?? UNCHANGED };
}
