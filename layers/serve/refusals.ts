/** Why a snapshot cannot be made, changed or removed: the errors that a client of the service gets (`status.ts`). */

import { ConflictError, NotFoundError, UsageError } from "../../src/errors.ts";

/** The most bytes of a label, key and value together: containerd's own bound (labels/validate.go). */
const MAX_LABEL_BYTES = 4096;
/** Of a key or name. containerd's are a namespace, a number and what its client chose. */
const MAX_NAME_BYTES = 4096;

/** @throws {UsageError} `ERR_SNAPSHOT_NAME` */
export function checkKey(verb: string, key: string): void {
  const bytes = Buffer.byteLength(key);
  const isGood = bytes > 0 && bytes <= MAX_NAME_BYTES && !key.includes("\0");
  if (isGood) return;
  const state = `a key has 1 to ${MAX_NAME_BYTES} bytes and no NUL, this one has ${bytes} bytes`;
  throw new UsageError("ERR_SNAPSHOT_NAME", `Cannot ${verb} snapshot ${shown(key)}: ${state}`);
}

/** The labels to be kept: an empty value is none. @throws {UsageError} `ERR_SNAPSHOT_LABEL` */
export function checkLabels(labels: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  for (const [key, value] of labels) {
    const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (key !== "" && bytes <= MAX_LABEL_BYTES) continue;
    const state =
      key === "" ? "it has no key" : `key and value have ${bytes} bytes, the most is ${MAX_LABEL_BYTES} together`;
    throw new UsageError("ERR_SNAPSHOT_LABEL", `Cannot use label ${shown(key)}: ${state}`);
  }
  return Object.fromEntries([...labels].filter(([, value]) => value !== ""));
}

export function notFound(verb: string, name: string): NotFoundError {
  const message = `Cannot ${verb} snapshot ${shown(name)}: there is none of this name`;
  return new NotFoundError("ERR_SNAPSHOT_NOT_FOUND", message, { data: { name } });
}

export function noParent(name: string, parent: string): NotFoundError {
  const message = `Cannot make snapshot ${shown(name)}: there is no snapshot ${shown(parent)} to stand on`;
  return new NotFoundError("ERR_SNAPSHOT_NOT_FOUND", message, { data: { name, parent } });
}

export function exists(name: string): ConflictError {
  const message = `Cannot make snapshot ${shown(name)}: there is one of this name already`;
  return new ConflictError("ERR_SNAPSHOT_EXISTS", message, { data: { name } });
}

/** The answer that says "do not pull": the snapshot that a client wants to unpack is there. */
export function targetExists(target: string): ConflictError {
  const message = `Cannot make a snapshot to unpack ${shown(target)}: the layer is in the store already`;
  return new ConflictError("ERR_SNAPSHOT_EXISTS", message, { data: { target } });
}

export function parentNotCommitted(name: string, parent: string): UsageError {
  const message = `Cannot make snapshot ${shown(name)}: its parent ${shown(parent)} is not committed`;
  return new UsageError("ERR_SNAPSHOT_PARENT", message, { data: { name, parent } });
}

export function parentChanged(name: string, parent: string): UsageError {
  const message = `Cannot commit snapshot ${shown(name)}: it has another parent than ${shown(parent)}`;
  return new UsageError("ERR_SNAPSHOT_PARENT", message, { data: { name, parent } });
}

/** It is there, and of a kind that this cannot be done with. */
export function wrongKind(verb: string, name: string, state: string): ConflictError {
  return new ConflictError("ERR_SNAPSHOT_KIND", `Cannot ${verb} snapshot ${shown(name)}: ${state}`, { data: { name } });
}

export function hasChildren(name: string): ConflictError {
  const message = `Cannot remove snapshot ${shown(name)}: others stand on it; remove them first`;
  return new ConflictError("ERR_SNAPSHOT_CHILDREN", message, { data: { name } });
}

export function immutableField(name: string, path: string): UsageError {
  const message = `Cannot update field ${shown(path)} of snapshot ${shown(name)}: only labels can be changed`;
  return new UsageError("ERR_SNAPSHOT_FIELD", message, { data: { name, path } });
}

function shown(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
