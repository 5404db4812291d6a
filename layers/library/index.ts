/**
 * The package `layerctl` as a library: a store of images and layers, mounts, diffs and commits. docs/library.md has
 * examples, docs/library.api.md everything that is exported.
 *
 * @packageDocumentation
 */

export {
  ConflictError,
  type ErrorData,
  IntegrityError,
  LayerctlError,
  NotFoundError,
  UnsupportedError,
  UsageError,
} from "../../src/errors.ts";
export { pathBytes } from "../../src/paths.ts";
export type { Aspect } from "../diff/change.ts";
export type {
  Change,
  CollectedGarbage,
  CommittedImage,
  GarbageItem,
  ImageInfo,
  ImportedImage,
  LayerInfo,
  MountedSnapshot,
  SkippedEntry,
  SnapshotInfo,
  StoreCheck,
  StoreFinding,
  StoreUsage,
  TarResult,
} from "./documents.ts";
export type { LogEvent, Operation, ProgressEvent, StoreEvents, WaitEvent } from "./events.ts";
export type {
  Cancellable,
  CheckOptions,
  CollectOptions,
  CommitOptions,
  ImportOptions,
  MountOptions,
  OpenOptions,
  PrepareOptions,
  SaveOptions,
} from "./options.ts";
export { Store } from "./store.ts";
