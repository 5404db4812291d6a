/** SHA-256 by the OpenSSL that node has anyway: node:crypto, which takes 7 ms to be loaded, is for who has more to hash. */

import { declare } from "./libc.ts";

const sha256Call = declare<bigint>("uint64_t SHA256(const void *bytes, size_t size, void *result)");
const BYTES = 32;

/** The 64 hex digits, or null where node's OpenSSL shows nobody its functions. */
export function sha256Hex(bytes: Uint8Array): string | null {
  const result = Buffer.alloc(BYTES);
  try {
    sha256Call(bytes, bytes.length, result);
  } catch {
    return null;
  }
  return result.toString("hex");
}
