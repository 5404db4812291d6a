/** Opens whatever an image comes in. What it is, is told from its bytes. */

import { createReadStream, open, type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { Socket } from "node:net";
import { promisify } from "node:util";
import { IntegrityError, isErrno, NotFoundError } from "../../src/errors.ts";
import { bytesOf, display, type HostPath, hostPath } from "../../src/paths.ts";
import { type Compression, decompress, sniffCompression } from "../apply/decompress.ts";
import type { Platform } from "../oci/descriptor.ts";
import { ArchiveFiles } from "./archive.ts";
import { readDockerArchive, readDockerTags } from "./docker-archive.ts";
import { readLayout } from "./oci-layout.ts";
import { rootfsImage } from "./rootfs.ts";
import type { ImageSource, SourceFormat, SourceImage } from "./source.ts";
import { directoryFiles, readStart } from "./source-files.ts";
import { sourceRepository } from "./source-names.ts";
import { type SpooledFile, spool } from "./spool.ts";
import { looksLikeTar } from "./tar-magic.ts";

export interface OpenOptions {
  /** On which file system to spool what has to be. */
  readonly temporary: HostPath;
  /** Only images for this platform. Default: this machine's, or the only one there is. */
  readonly platform?: Platform | undefined;
  /** The source is the tar of a root file system, not an archive of images. */
  readonly rootfs?: boolean | undefined;
  /** Do not look at the names in the source: the caller gives its own. Then a bad one does not matter. */
  readonly ignoreNames?: boolean | undefined;
  /** The most bytes to spool. */
  readonly limitBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes that have been spooled so far. */
  readonly onSpooled?: ((doneBytes: number) => void) | undefined;
  /** What "-" reads. Default: standard input. */
  readonly input?: AsyncIterable<Buffer> | undefined;
}

interface Contents {
  readonly format: SourceFormat;
  readonly images: readonly SourceImage[];
}

/**
 * Opens the OCI layout, OCI archive or docker-archive at `source`, or the root file system's tar with `rootfs`; "-" is
 * standard input. Manifests and configs are verified, layers are only found. What cannot be read in place is spooled,
 * into a file without a name in `temporary`.
 * @throws {NotFoundError} `ERR_SOURCE_NOT_FOUND`, `ERR_IMAGE_NOT_FOUND` or `ERR_PLATFORM_NOT_FOUND`
 * @throws {IntegrityError} `ERR_SOURCE_FORMAT` if it is none of these, or what is malformed in it
 * @throws {UnsupportedError} for compressions, media types and versions that are not known
 */
export async function openSource(source: string, options: OpenOptions): Promise<ImageSource> {
  if (source === "-") {
    return await openSpooled(options.input ?? (process.stdin as AsyncIterable<Buffer>), hostPath("-"), null, options);
  }
  const path = hostPath(source);
  const found = await statSource(path);
  const contents = await openInPlace(path, found, options);
  if (contents !== null) return { ...contents, async [Symbol.asyncDispose]() {} };
  if (found.isFile() && options.rootfs !== true) await mustStartAsTar(path, found);
  const bytes = found.isFIFO() ? await pipeStream(path) : stream(path);
  return await openSpooled(bytes, path, sourceRepository(path, "file"), options);
}

/** Refuses a compressed archive that holds no tar, before all of it is spooled. */
async function mustStartAsTar(path: HostPath, found: Stats): Promise<void> {
  const compression = await compressionOf(path, found);
  for await (const start of decompress(stream(path), compression, "the archive")) {
    if (!looksLikeTar(start)) throw notTar(path);
    return;
  }
}

/** null for what has to be spooled. */
async function openInPlace(
  path: HostPath,
  found: Stats,
  options: Omit<OpenOptions, "temporary">,
): Promise<Contents | null> {
  if (found.isDirectory()) return await openDirectory(path, options);
  if (!found.isFile() || (options.rootfs !== true && (await compressionOf(path, found)) !== "none")) return null;
  return await openFile(path, path, sourceRepository(path, "file"), options);
}

async function compressionOf(path: HostPath, { size }: Stats): Promise<Compression> {
  return sniffCompression(await readStart({ file: path, offset: 0, sizeBytes: size }), "the archive");
}

async function statSource(path: HostPath) {
  try {
    return await stat(bytesOf(path));
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    throw new NotFoundError("ERR_SOURCE_NOT_FOUND", `Cannot open "${display(path)}": there is no such file`);
  }
}

function stream(path: HostPath): AsyncIterable<Buffer> {
  return createReadStream(bytesOf(path), { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
}

const openFd = promisify(open);

/** A pipe by its name. Read as a socket is, because a read that waits on the thread pool cannot be cancelled. */
async function pipeStream(path: HostPath): Promise<AsyncIterable<Buffer>> {
  const fd = await openFd(bytesOf(path), "r"); // waits for a writer
  return new Socket({ fd, readable: true, writable: false });
}

async function openSpooled(
  bytes: AsyncIterable<Buffer>,
  name: HostPath,
  repository: string | null,
  options: OpenOptions,
): Promise<ImageSource> {
  const { temporary, limitBytes, signal, onSpooled } = options;
  const spooled: SpooledFile = await spool(bytes, {
    temporary,
    limitBytes,
    signal,
    onProgress: onSpooled,
    decompress: options.rootfs !== true,
  });
  try {
    const contents = await openFile(spooled.file, name, repository, options);
    return { ...contents, [Symbol.asyncDispose]: () => spooled[Symbol.asyncDispose]() };
  } catch (error) {
    await spooled[Symbol.asyncDispose]();
    throw error;
  }
}

async function openDirectory(path: HostPath, options: Omit<OpenOptions, "temporary">): Promise<Contents> {
  const files = directoryFiles(path);
  if (options.rootfs === true) {
    throw unknownFormat(path, 'it is a directory; --rootfs takes a tar, which "tar -C DIR -c ." makes');
  }
  if ((await files.locate("oci-layout")) === null) {
    throw unknownFormat(path, 'it is a directory without a file "oci-layout", so no OCI layout');
  }
  const { platform, ignoreNames } = options;
  const repository = sourceRepository(path, "directory");
  return { format: "oci-layout", images: await readLayout(files, { platform, ignoreNames, repository }) };
}

/** `file` holds the bytes; `name` is what the person called it. */
async function openFile(
  file: HostPath,
  name: HostPath,
  repository: string | null,
  options: Omit<OpenOptions, "temporary">,
): Promise<Contents> {
  const { platform, ignoreNames, signal } = options;
  const location = { file, offset: 0, sizeBytes: (await stat(bytesOf(file))).size };
  if (options.rootfs === true) return { format: "rootfs", images: [await rootfsImage(name, location, platform)] };
  if (!looksLikeTar(await readStart(location))) throw notTar(name);
  const files = await ArchiveFiles.open(file, name, signal);
  const isDocker = files.has("manifest.json");
  if (files.has("oci-layout") && files.has("index.json")) {
    const tagsByConfig = isDocker && ignoreNames !== true ? await readDockerTags(files) : new Map<never, never>();
    const images = await readLayout(files, { platform, ignoreNames, repository, tagsByConfig });
    return { format: isDocker ? "docker-archive" : "oci-archive", images };
  }
  if (isDocker) return { format: "docker-archive", images: await readDockerArchive(files, { platform, ignoreNames }) };
  const looked = 'it has neither "oci-layout" and "index.json" nor "manifest.json"';
  throw unknownFormat(name, `${looked}; if it is the tar of a root file system, pass --rootfs`);
}

function notTar(path: HostPath): IntegrityError {
  return unknownFormat(path, "it is not a tar archive");
}

function unknownFormat(path: HostPath, why: string): IntegrityError {
  return new IntegrityError("ERR_SOURCE_FORMAT", `Cannot import "${display(path)}": ${why}`);
}
