/** Terminals. */

import { isSystemError } from "../errors.ts";
import { controlFile } from "./data.ts";
import { check, declare } from "./libc.ts";

const isatty = declare("int isatty(int fd)");
const tcgetattr = declare("int tcgetattr(int fd, void *settings)");
const tcsetattr = declare("int tcsetattr(int fd, int when, const void *settings)");
const cfmakeraw = declare("void cfmakeraw(void *settings)");

/** True if `fd` is a terminal. `process.stderr` knows as well, and takes 4 ms to be made. */
export function isTerminal(fd: number): boolean {
  return isatty(fd) === 1;
}

const TIOCSPTLCK = 0x4004_5431;
const TIOCGPTPEER = 0x5441;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;
export const WINDOW_SIZE_BYTES = 8;

/** Lets the other end of a pseudoterminal be opened (unlockpt(3)). @throws PosixError */
export function unlockTerminal(master: number): void {
  controlFile(master, TIOCSPTLCK, Buffer.alloc(4));
}

const O_RDWR_NOCTTY_CLOEXEC = 0o2 | 0o400 | 0o2000000;
const openPeerCall = declare("int ioctl(int fd, unsigned long request, int flags)");

/** The other end of a pseudoterminal, which no path has to lead to. The caller closes it. @throws PosixError */
export function openPeer(master: number): number {
  return check(openPeerCall(master, TIOCGPTPEER, O_RDWR_NOCTTY_CLOEXEC), "ioctl(TIOCGPTPEER)");
}

/** The size of a terminal (`struct winsize`); null if `fd` is none. */
export function windowSizeOf(fd: number): Buffer | null {
  const size = Buffer.alloc(WINDOW_SIZE_BYTES);
  try {
    controlFile(fd, TIOCGWINSZ, size);
    return size;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return null;
  }
}

/** Gives a terminal a size. Best effort: it may have hung up, and need not know its size. */
export function setWindowSize(fd: number, size: Buffer): void {
  try {
    controlFile(fd, TIOCSWINSZ, size);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}

/** Gives one terminal the size of another, if that is a terminal. */
export function copyWindowSize(from: number, to: number): void {
  const size = windowSizeOf(from);
  if (size !== null) setWindowSize(to, size);
}

/** Room for a `struct termios` of any libc. */
const SETTINGS_BYTES = 128;
const TCSADRAIN = 1;

/**
 * Hands every byte on as it is, both ways, until the result is disposed (cfmakeraw(3)). Node's own raw mode goes on turning
 * line feeds into two characters. @throws PosixError
 */
export function makeRaw(fd: number): Disposable {
  const before = Buffer.alloc(SETTINGS_BYTES);
  check(tcgetattr(fd, before), "tcgetattr");
  const raw = Buffer.from(before);
  cfmakeraw(raw);
  check(tcsetattr(fd, TCSADRAIN, raw), "tcsetattr");
  return { [Symbol.dispose]: () => void tcsetattr(fd, TCSADRAIN, before) };
}
