/** The keys by which a user leaves a container's terminal without ending what runs in it, as docker spells them. */

import { Option } from "commander";
import { UsageError } from "../src/errors.ts";

export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

export function detachKeysOption(): Option {
  const description =
    'the keys that leave the terminal: letters, and ctrl- with a letter or one of @[\\]^_; "" for none';
  return new Option("--detach-keys <keys>", description).default(DEFAULT_DETACH_KEYS);
}

/**
 * The bytes that the keys send: "ctrl-p,ctrl-q", "a,b", "ctrl-]".
 * @throws {UsageError} `ERR_DETACH_KEYS`
 */
export function parseDetachKeys(text: string): Buffer {
  if (text === "") return Buffer.alloc(0);
  const keys = text.split(",").map((key) => {
    const [, control = ""] = /^ctrl-([a-z@[\\\]^_])$/i.exec(key) ?? [];
    if (control !== "") return control.toUpperCase().charCodeAt(0) & 0x1f;
    if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
    const state = `"${key}" is neither a character nor ctrl- with a letter or one of @[\\]^_`;
    throw new UsageError("ERR_DETACH_KEYS", `Cannot use detach keys "${text}": ${state}`, { data: { keys: text } });
  });
  return Buffer.from(keys);
}

/** Looks for the keys in what is typed. */
export class DetachFilter {
  readonly #keys: Buffer;
  /** How many of the keys were typed last, and are held back. */
  #matched = 0;

  constructor(keys: Buffer) {
    this.#keys = keys;
  }

  /** What of `typed` is for the container, and whether the keys came. What may be their beginning waits. */
  take(typed: Buffer): { readonly bytes: Buffer; readonly isDetached: boolean } {
    const bytes: number[] = [];
    for (const byte of typed) {
      if (this.#keys.length > 0 && byte === this.#keys[this.#matched]) {
        this.#matched += 1;
        if (this.#matched === this.#keys.length) return { bytes: Buffer.from(bytes), isDetached: true };
        continue;
      }
      bytes.push(...this.#keys.subarray(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) bytes.push(byte);
    }
    return { bytes: Buffer.from(bytes), isDetached: false };
  }
}
