/** Files into a container and out of it, by docker's rules for what a path means (docker container cp). */

import { createReadStream, readlinkSync } from "node:fs";
import { ConflictError, isErrno, NotFoundError } from "../../src/errors.ts";
import { type IdMappings, rootOf } from "../../src/mount/id-mapping.ts";
import { display, type HostPath, hostPath } from "../../src/paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_NOFOLLOW, O_PATH, openAt, S_IFDIR, S_IFMT } from "../../src/sys/file.ts";
import { DirectorySink, type SinkOptions } from "../copy/directory-sink.ts";
import { intoContainer, outOfContainer } from "../copy/mapped-ids.ts";
import { findPlace, type Place } from "../copy/place.ts";
import { TarEncoder } from "../copy/tar-encoder.ts";
import { readTree } from "../copy/tree-source.ts";
import { type TarHandler, TarReader } from "../tar/reader.ts";

export interface CopyOptions {
  /** Owners, set-id bits and attributes are kept. */
  readonly archive: boolean;
  /** Set-id bits are kept without `archive` too: not for what belongs to a user of this host then, whose program it would be. */
  readonly keepsSetIds: boolean;
  /** A link that is copied is what it leads to. */
  readonly followLink: boolean;
  /** Whose it is what is made without `archive`. */
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly signal: AbortSignal;
  readonly onSkipped: (path: string, reason: string) => void;
}

/** How much was copied. */
export interface Copied {
  readonly entries: number;
  readonly bytes: number;
}

/** A path in a tree whose root is open. */
export interface TreePath {
  readonly root: number;
  readonly path: HostPath;
  /** Of a container with a user namespace of its own: what is whose there is told in this host's ids. */
  readonly ids?: IdMappings | null;
}

/**
 * Copies `from` to `to`: a file to a name or into a directory; a directory as a new one, or into one that is there, and without
 * itself if its path ends in "/.".
 * @throws {NotFoundError} `ERR_COPY_NOT_FOUND`
 * @throws {ConflictError} `ERR_COPY_TYPE`
 * @throws PosixError
 */
export async function copyTree(from: TreePath, to: TreePath, options: CopyOptions): Promise<Copied> {
  using source = sourceAt(from, options.followLink);
  const isContent = source.isDirectory && /(?:^|\/)\.$/.test(from.path);
  using target = targetAt(to, source.isDirectory);
  // What leads "." has no name of its own: it is what is in it.
  const ownName = source.place.name === "." ? "" : nameOf(from.path);
  const [base, as] = target.isDirectory
    ? [target.fd, isContent ? "" : ownName]
    : [target.place.parent, target.place.name];
  using sink = new DirectorySink(base, sinkOptions(to, options));
  const handler = from.ids == null ? sinkFor(sink, to) : outOfContainer(sinkFor(sink, to), from.ids);
  await readTree(source.place, handler, { as, signal: options.signal, onSkipped: options.onSkipped });
  sink.finish();
  return { entries: sink.entries, bytes: sink.bytes };
}

/** Writes `from` as a tar to a descriptor, under its own name. @throws as `copyTree` */
export async function copyToTar(from: TreePath, fd: number, options: CopyOptions): Promise<Copied> {
  using source = sourceAt(from, options.followLink);
  const encoder = new TarEncoder(fd);
  const isContent = source.place.name === "." || (source.isDirectory && /(?:^|\/)\.$/.test(from.path));
  const as = isContent ? "" : nameOf(from.path);
  const handler = from.ids == null ? encoder : outOfContainer(encoder, from.ids);
  await readTree(source.place, handler, { as, signal: options.signal, onSkipped: options.onSkipped });
  encoder.finish();
  return { entries: encoder.entries, bytes: encoder.bytes };
}

/** Unpacks a tar from a descriptor into the directory `to`. @throws {IntegrityError} as the tar's reader; as `copyTree` */
export async function copyFromTar(fd: number, to: TreePath, options: CopyOptions): Promise<Copied> {
  using target = targetAt(to, true);
  if (!target.isDirectory) throw notFound(to.path);
  using sink = new DirectorySink(target.fd, sinkOptions(to, options));
  const reader = new TarReader(sinkFor(sink, to));
  const stream = createReadStream("", { fd, autoClose: false, highWaterMark: 1 << 20, signal: options.signal });
  for await (const piece of stream) reader.push(piece as Buffer);
  reader.finish();
  sink.finish();
  return { entries: sink.entries, bytes: sink.bytes };
}

function sinkOptions({ ids }: TreePath, { archive, keepsSetIds, owner }: CopyOptions): SinkOptions {
  return { keepsAll: archive, keepsSetIds, owner: ids == null ? owner : rootOf(ids) };
}

function sinkFor(sink: DirectorySink, { ids }: TreePath): TarHandler {
  return ids == null ? sink : intoContainer(sink, ids);
}

interface Source extends Disposable {
  readonly place: Place;
  readonly isDirectory: boolean;
}

function sourceAt({ root, path }: TreePath, followLink: boolean): Source {
  const isNamedAsDirectory = /\/\.?$/.test(path);
  const place = placeAt(root, path, followLink || isNamedAsDirectory);
  const isDirectory = isKind(place, S_IFDIR);
  const dispose = (): void => place[Symbol.dispose]();
  if (place.stat !== null && (isDirectory || !isNamedAsDirectory))
    return { place, isDirectory, [Symbol.dispose]: dispose };
  dispose();
  if (place.stat === null) throw notFound(path);
  throw wrongType(path, "it is not a directory");
}

interface Target extends Disposable {
  readonly place: Place;
  readonly isDirectory: boolean;
  /** Of the directory, if it is one. */
  readonly fd: number;
}

function targetAt({ root, path }: TreePath, forDirectory: boolean): Target {
  const place = placeAt(root, path, true);
  const isDirectory = isKind(place, S_IFDIR);
  const fd = isDirectory ? openAt(place.parent, place.name, O_PATH | O_DIRECTORY | O_NOFOLLOW) : -1;
  const dispose = (): void => {
    place[Symbol.dispose]();
    if (fd >= 0) close(fd);
  };
  const isNamedAsDirectory = /\/\.?$/.test(path);
  if (isDirectory || (place.stat === null && (forDirectory || !isNamedAsDirectory))) {
    return { place, isDirectory, fd, [Symbol.dispose]: dispose };
  }
  if (place.stat !== null && !forDirectory && !isNamedAsDirectory)
    return { place, isDirectory, fd, [Symbol.dispose]: dispose };
  dispose();
  if (place.stat === null) throw notFound(path);
  throw wrongType(path, forDirectory ? "a directory cannot be copied over it" : "it is not a directory");
}

function placeAt(root: number, path: HostPath, follows: boolean): Place {
  try {
    return findPlace(root, path, follows);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) throw notFound(path);
    throw error;
  }
}

function isKind({ stat }: Place, kind: number): boolean {
  return stat !== null && (stat.mode & S_IFMT) === kind;
}

/** The last name of a path, as its user wrote it. */
function nameOf(path: HostPath): string {
  return (
    path
      .replace(/(?:\/\.?)+$/, "")
      .split("/")
      .at(-1) ?? ""
  );
}

function notFound(path: HostPath): NotFoundError {
  const shown = display(path);
  const message = `Cannot copy "${shown}": there is no such file or directory`;
  return new NotFoundError("ERR_COPY_NOT_FOUND", message, { data: { path: shown } });
}

function wrongType(path: HostPath, state: string): ConflictError {
  const shown = display(path);
  return new ConflictError("ERR_COPY_TYPE", `Cannot copy to or from "${shown}": ${state}`, { data: { path: shown } });
}

/** A path of this host, from the working directory. @throws PosixError */
export function onThisHost(text: string): TreePath & Disposable {
  const path = hostPath(text);
  const whole = path.startsWith("/") ? path : (`${readlinkSync("/proc/self/cwd", "latin1")}/${path}` as HostPath);
  const root = openAt(AT_FDCWD, hostPath("/"), O_PATH | O_DIRECTORY);
  return { root, path: whole, [Symbol.dispose]: () => close(root) };
}
