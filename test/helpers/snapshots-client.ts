/** A client of containerd's snapshots service that shares nothing with our server: grpc-js, with messages from a .proto file. */

import { fileURLToPath } from "node:url";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { loadSync, type ServiceDefinition } from "@grpc/proto-loader";

export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

interface Time {
  readonly seconds: string;
  readonly nanos: number;
}

export interface Info {
  readonly name: string;
  readonly parent: string;
  readonly kind: "VIEW" | "ACTIVE" | "COMMITTED";
  readonly createdAt: Time;
  readonly updatedAt: Time;
  readonly labels: Readonly<Record<string, string>>;
}

type Labels = Readonly<Record<string, string>>;

const PROTO = fileURLToPath(new URL("./snapshots.proto", import.meta.url));
export const SERVICE = "containerd.services.snapshots.v1.Snapshots";
/** A call that has not been answered after this never will. */
const PATIENCE_MS = 60_000;

const definition = loadSync(PROTO, { enums: String, longs: String, defaults: true })[SERVICE] as ServiceDefinition;

export interface ClientOptions {
  readonly snapshotter?: string;
  readonly namespace?: string;
}

/** Calls throw an error whose `code` is `status` of grpc-js. */
export class SnapshotsClient implements Disposable {
  readonly #client: Client;
  readonly #snapshotter: string;
  readonly #metadata = new Metadata();

  constructor(socket: string, { snapshotter = "layerctl", namespace = "tests" }: ClientOptions = {}) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure());
    this.#snapshotter = snapshotter;
    this.#metadata.set("containerd-namespace", namespace);
  }

  /** Waits until the server can be reached: after a refusal calls fail for a second without another try. */
  reconnect(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.waitForReady(Date.now() + PATIENCE_MS, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  async prepare(key: string, parent = "", labels: Labels = {}): Promise<readonly Mount[]> {
    return (await this.#call<{ mounts: Mount[] }>("Prepare", { key, parent, labels })).mounts;
  }

  async view(key: string, parent = "", labels: Labels = {}): Promise<readonly Mount[]> {
    return (await this.#call<{ mounts: Mount[] }>("View", { key, parent, labels })).mounts;
  }

  async mounts(key: string): Promise<readonly Mount[]> {
    return (await this.#call<{ mounts: Mount[] }>("Mounts", { key })).mounts;
  }

  async commit(name: string, key: string, labels: Labels = {}, parent = ""): Promise<void> {
    await this.#call("Commit", { name, key, labels, parent });
  }

  async remove(key: string): Promise<void> {
    await this.#call("Remove", { key });
  }

  async stat(key: string): Promise<Info> {
    return (await this.#call<{ info: Info }>("Stat", { key })).info;
  }

  async update(info: Partial<Info>, ...paths: readonly string[]): Promise<Info> {
    return (await this.#call<{ info: Info }>("Update", { info, updateMask: { paths } })).info;
  }

  async usage(key: string): Promise<{ readonly size: number; readonly inodes: number }> {
    const { size, inodes } = await this.#call<{ size: string; inodes: string }>("Usage", { key });
    return { size: Number(size), inodes: Number(inodes) };
  }

  async cleanup(): Promise<void> {
    await this.#call("Cleanup", {});
  }

  /** By name, with how many messages they came in. */
  async list(...filters: readonly string[]): Promise<{ readonly infos: readonly Info[]; readonly messages: number }> {
    const method = definition.List;
    if (method === undefined) throw new Error("no List");
    const request = { snapshotter: this.#snapshotter, filters };
    const { path, requestSerialize, responseDeserialize } = method;
    const stream = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => { info: Info[] },
      request,
      this.#metadata,
      { deadline: Date.now() + PATIENCE_MS },
    );
    const infos: Info[] = [];
    let messages = 0;
    for await (const { info } of stream as AsyncIterable<{ info: Info[] }>) {
      infos.push(...info);
      messages += 1;
    }
    return { infos: infos.sort((a, b) => (a.name < b.name ? -1 : 1)), messages };
  }

  /** Calls a method with any bytes as its request. */
  async raw(method: string, bytes: Buffer): Promise<Buffer> {
    return await this.#send(
      `/${SERVICE}/${method}`,
      (request: Buffer) => request,
      (reply: Buffer) => reply,
      bytes,
    );
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async #call<Reply>(name: string, request: object): Promise<Reply> {
    const method = definition[name];
    if (method === undefined) throw new Error(`no ${name}`);
    const { path, requestSerialize, responseDeserialize } = method;
    const deserialize = responseDeserialize as (bytes: Buffer) => Reply;
    return await this.#send(path, requestSerialize, deserialize, { snapshotter: this.#snapshotter, ...request });
  }

  #send<Request, Reply>(
    path: string,
    serialize: (request: Request) => Buffer,
    deserialize: (bytes: Buffer) => Reply,
    request: Request,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + PATIENCE_MS };
      this.#client.makeUnaryRequest(path, serialize, deserialize, request, this.#metadata, options, (error, reply) => {
        if (error !== null || reply === undefined) reject(error ?? new Error("no reply"));
        else resolve(reply);
      });
    });
  }
}

/** The bytes of a request, for who calls in another way. */
export function requestBytes(method: string, request: object): Buffer {
  const found = definition[method];
  if (found === undefined) throw new Error(`no ${method}`);
  return found.requestSerialize(request);
}

/** For `assert.rejects`: an error of the service with this status, whose words match. */
export function failsWith(name: keyof typeof status, words: RegExp = /^/): (error: ServiceError) => boolean {
  return (error) => {
    if (error.code === status[name] && words.test(error.details)) return true;
    throw new Error(`expected ${name} ${words}, got ${status[error.code]} ${error.details}`, { cause: error });
  };
}

/** Microseconds since the epoch. */
export function timeUs({ seconds, nanos }: Time): number {
  return Number(seconds) * 1_000_000 + Math.floor(nanos / 1000);
}
