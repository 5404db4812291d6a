/**
 * Image configs (OCI image-spec, config.md; docker's image.spec v1.2). The value keeps every field of the JSON, known
 * or not, in its order: a config made from it loses nothing. The stored bytes are the ones that came.
 */

import { type DiffId, parseDiffId } from "../../src/digest.ts";
import { IntegrityError } from "../../src/errors.ts";
import { type Document, documentOf, type Platform } from "./descriptor.ts";
import { type JsonNode, parseJson } from "./json.ts";
import { OCI_CONFIG } from "./media-types.ts";

/** The most bytes of a config. */
export const CONFIG_LIMIT_BYTES = 8 * 2 ** 20;

/** How to run the image. Docker writes null for what is empty. */
export interface ProcessConfig {
  readonly User?: string | null;
  readonly ExposedPorts?: Readonly<Record<string, unknown>> | null;
  readonly Env?: readonly string[] | null;
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, unknown>> | null;
  readonly WorkingDir?: string | null;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly StopSignal?: string | null;
  readonly OnBuild?: readonly string[] | null;
  readonly Shell?: readonly string[] | null;
  readonly Healthcheck?: Readonly<Record<string, unknown>> | null;
}

/** How one layer came to be. With `empty_layer` there is none. */
export interface HistoryEntry {
  readonly created?: string | null;
  readonly created_by?: string | null;
  readonly author?: string | null;
  readonly comment?: string | null;
  readonly empty_layer?: boolean | null;
}

/** A config in the shape of its JSON. */
export interface ImageConfig {
  readonly created?: string | null;
  readonly author?: string | null;
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly config?: ProcessConfig | null;
  /** `diff_ids` are base first; as many as the manifest has layers. */
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly DiffId[] };
  readonly history?: readonly HistoryEntry[] | null;
}

/**
 * Parses an image config.
 * @throws {IntegrityError} if it is malformed
 */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const root = parseJson(bytes, "config", CONFIG_LIMIT_BYTES);
  for (const name of ["os", "architecture"]) if (root.field(name).string() === "") root.field(name).refuse("a name");
  for (const name of ["created", "author", "variant", "os.version"]) root.field(name).optionalString();
  checkProcess(root.field("config"));
  for (const entry of root.field("history").items()) checkHistory(entry);
  const rootfs = root.field("rootfs");
  if (rootfs.field("type").string() !== "layers") rootfs.field("type").refuse('"layers"');
  const diffIds = rootfs.field("diff_ids").strings().map(parseDiffId);
  const variant = root.field("variant").isAbsent ? {} : { variant: root.field("variant").string() };
  const whole = { ...root.object(), ...variant, rootfs: { ...rootfs.object(), diff_ids: diffIds } };
  return whole as unknown as ImageConfig; // every field of the type has been checked above
}

function checkProcess(node: JsonNode): void {
  if (node.isAbsent) return;
  for (const name of ["User", "WorkingDir", "StopSignal"]) node.field(name).optionalString();
  for (const name of ["Env", "Entrypoint", "Cmd", "OnBuild", "Shell"]) node.field(name).strings();
  for (const name of ["ExposedPorts", "Volumes", "Healthcheck"]) {
    if (!node.field(name).isAbsent) node.field(name).object();
  }
  if (!node.field("Labels").isAbsent) node.field("Labels").stringMap();
}

function checkHistory(entry: JsonNode): void {
  for (const name of ["created", "created_by", "author", "comment"]) entry.field(name).optionalString();
  entry.field("empty_layer").optionalBoolean();
}

/** @throws {IntegrityError} `ERR_LAYER_COUNT` if a manifest's layers and a config's diffIDs cannot be paired */
export function checkLayerCount(layers: number, config: ImageConfig): void {
  const diffIds = config.rootfs.diff_ids.length;
  if (layers === diffIds) return;
  throw new IntegrityError(
    "ERR_LAYER_COUNT",
    `Cannot use the image: its manifest has ${layers} layers, its config ${diffIds} diff_ids`,
    { data: { layers, diffIds } },
  );
}

/** The platform that a config gives. */
export function platformOf(config: ImageConfig): Platform {
  const { os, architecture, variant } = config;
  return variant === undefined || variant === "" ? { os, architecture } : { os, architecture, variant };
}

/** The bytes and descriptor of a config, the same each time. */
export function encodeImageConfig(config: ImageConfig): Document {
  return documentOf(OCI_CONFIG, Buffer.from(JSON.stringify(config)));
}
