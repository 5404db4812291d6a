/** A diff as the tar of a layer, in memory: cases are small. */

import { BlockCompressor } from "../../layers/commit/compress.ts";
import type { LayerDiff } from "../../layers/diff/change.ts";
import { writeLayerTar } from "../../layers/diff/layer-tar.ts";

export async function tarOf(diff: LayerDiff): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await using blob = new BlockCompressor("none", async (bytes) => void pieces.push(Buffer.from(bytes)));
  await writeLayerTar(diff, blob);
  await blob.finish();
  return Buffer.concat(pieces);
}
