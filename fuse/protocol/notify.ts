/** What a server tells the kernel unasked (`struct fuse_out_header` with a code for an error, and nobody's number). */

/** The header, and `struct fuse_notify_store_out`. */
export const STORE_HEADER_BYTES = 40;
const NOTIFY_STORE = 4;

/** The head of a message that has `sizeBytes` of content behind it: the beginning of a node's file. */
export function writeStoreHeader(message: Buffer, nodeId: number, sizeBytes: number): void {
  message.fill(0, 0, STORE_HEADER_BYTES);
  message.writeUInt32LE(STORE_HEADER_BYTES + sizeBytes, 0);
  message.writeUInt32LE(NOTIFY_STORE, 4);
  message.writeUInt32LE(nodeId % 2 ** 32, 16);
  message.writeUInt32LE(Math.floor(nodeId / 2 ** 32), 20);
  message.writeUInt32LE(sizeBytes, 32);
}
