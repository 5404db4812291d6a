/**
 * The messages of containerd.services.snapshots.v1 (api/services/snapshots/v1/snapshots.proto) as bytes: requests are read,
 * responses written. Whatever does not read as the message it should be is refused; fields that are not known are passed over,
 * as protobuf wants it.
 */

import protobuf from "protobufjs/minimal.js";
import { UsageError } from "../../src/errors.ts";
import type { HeldSnapshotRow } from "../../src/meta/held-snapshots.ts";
import type { MountData } from "./held-mounts.ts";
import type { CommitRequest, LabelMap, PrepareRequest, UpdateRequest, Usage } from "./snapshotter.ts";

const { Reader, Writer } = protobuf;
type Writer = protobuf.Writer;

/** Wire types (protobuf.dev, "Encoding"): all that we read is of the second. */
const [VARINT, LENGTH_DELIMITED] = [0, 2];

/** Called with the bytes of a field of its number, as often as it comes. */
type Fields = Readonly<Record<number, (bytes: Uint8Array) => void>>;

function readFields(bytes: Uint8Array, fields: Fields): void {
  const reader = Reader.create(bytes);
  try {
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      const take = fields[tag >>> 3];
      if (take === undefined) reader.skipType(tag & 7);
      else if ((tag & 7) === LENGTH_DELIMITED) take(reader.bytes());
      else throw new RangeError(`field ${tag >>> 3} has wire type ${tag & 7}`);
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw malformed(error);
  }
}

function malformed(cause: unknown): UsageError {
  const state = cause instanceof Error ? cause.message : String(cause);
  return new UsageError("ERR_MESSAGE", `Cannot read the request: it is not the message it should be (${state})`);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function text(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

function readLabel(bytes: Uint8Array, labels: Map<string, string>): void {
  let [key, value] = ["", ""];
  readFields(bytes, {
    1: (each) => {
      key = text(each);
    },
    2: (each) => {
      value = text(each);
    },
  });
  labels.set(key, value);
}

/** Of PrepareSnapshotRequest and ViewSnapshotRequest, which are alike. @throws {UsageError} `ERR_MESSAGE` */
export function readPrepareRequest(bytes: Uint8Array): PrepareRequest {
  const labels = new Map<string, string>();
  const request = { key: "", parent: "", labels: labels as LabelMap };
  readFields(bytes, {
    2: (each) => {
      request.key = text(each);
    },
    3: (each) => {
      request.parent = text(each);
    },
    4: (each) => readLabel(each, labels),
  });
  return request;
}

/** @throws {UsageError} `ERR_MESSAGE` */
export function readCommitRequest(bytes: Uint8Array): CommitRequest {
  const labels = new Map<string, string>();
  const request = { name: "", key: "", parent: "", labels: labels as LabelMap };
  readFields(bytes, {
    2: (each) => {
      request.name = text(each);
    },
    3: (each) => {
      request.key = text(each);
    },
    4: (each) => readLabel(each, labels),
    5: (each) => {
      request.parent = text(each);
    },
  });
  return request;
}

/** Of MountsRequest, RemoveSnapshotRequest, StatSnapshotRequest and UsageRequest. @throws {UsageError} `ERR_MESSAGE` */
export function readKey(bytes: Uint8Array): string {
  let key = "";
  readFields(bytes, {
    2: (each) => {
      key = text(each);
    },
  });
  return key;
}

/** @throws {UsageError} `ERR_MESSAGE` */
export function readUpdateRequest(bytes: Uint8Array): UpdateRequest {
  const labels = new Map<string, string>();
  const paths: string[] = [];
  const request = { name: "", labels: labels as LabelMap, paths };
  const info: Fields = {
    1: (each) => {
      request.name = text(each);
    },
    6: (each) => readLabel(each, labels),
  };
  readFields(bytes, {
    2: (each) => readFields(each, info),
    3: (each) => readFields(each, { 1: (path) => paths.push(text(path)) }), // google.protobuf.FieldMask
  });
  return request;
}

/** The filters of ListSnapshotsRequest. @throws {UsageError} `ERR_MESSAGE` */
export function readListRequest(bytes: Uint8Array): readonly string[] {
  const filters: string[] = [];
  readFields(bytes, { 2: (each) => filters.push(text(each)) });
  return filters;
}

/** CleanupRequest has nothing that is looked at. @throws {UsageError} `ERR_MESSAGE` */
export function readCleanupRequest(bytes: Uint8Array): void {
  readFields(bytes, {});
}

const tagOf = (field: number, type: number = LENGTH_DELIMITED): number => (field << 3) | type;

/** google.protobuf.Empty. */
export function writeEmpty(): Buffer {
  return Buffer.alloc(0);
}

/** PrepareSnapshotResponse, ViewSnapshotResponse and MountsResponse. */
export function writeMounts(mounts: readonly MountData[]): Buffer {
  const writer = Writer.create();
  for (const { type, source, options } of mounts) {
    writer.uint32(tagOf(1)).fork();
    writer.uint32(tagOf(1)).string(type).uint32(tagOf(2)).string(source);
    for (const option of options) writer.uint32(tagOf(4)).string(option);
    writer.ldelim();
  }
  return finished(writer);
}

/** StatSnapshotResponse and UpdateSnapshotResponse. */
export function writeInfo(snapshot: HeldSnapshotRow): Buffer {
  return writeInfos([snapshot]);
}

/** ListSnapshotsResponse. */
export function writeInfos(snapshots: readonly HeldSnapshotRow[]): Buffer {
  const writer = Writer.create();
  for (const snapshot of snapshots) {
    writer.uint32(tagOf(1)).fork();
    putInfo(writer, snapshot);
    writer.ldelim();
  }
  return finished(writer);
}

/** UsageResponse. */
export function writeUsage({ sizeBytes, inodes }: Usage): Buffer {
  const writer = Writer.create();
  return finished(writer.uint32(tagOf(1, VARINT)).int64(sizeBytes).uint32(tagOf(2, VARINT)).int64(inodes));
}

const KIND_NUMBER = { view: 1, active: 2, committed: 3 } as const;

function putInfo(writer: Writer, { name, parent, kind, createdAtUs, updatedAtUs, labels }: HeldSnapshotRow): void {
  writer.uint32(tagOf(1)).string(name);
  if (parent !== null) writer.uint32(tagOf(2)).string(parent.name);
  writer.uint32(tagOf(3, VARINT)).int32(KIND_NUMBER[kind]);
  putTime(writer, 4, createdAtUs);
  putTime(writer, 5, updatedAtUs);
  for (const [key, value] of Object.entries(labels)) {
    writer.uint32(tagOf(6)).fork().uint32(tagOf(1)).string(key).uint32(tagOf(2)).string(value).ldelim();
  }
}

/** google.protobuf.Timestamp. */
function putTime(writer: Writer, field: number, timeUs: number): void {
  const seconds = Math.floor(timeUs / 1_000_000);
  const nanoseconds = (timeUs - seconds * 1_000_000) * 1000;
  writer.uint32(tagOf(field)).fork();
  writer.uint32(tagOf(1, VARINT)).int64(seconds).uint32(tagOf(2, VARINT)).int32(nanoseconds);
  writer.ldelim();
}

function finished(writer: Writer): Buffer {
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
