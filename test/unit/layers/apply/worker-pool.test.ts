import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { DEFAULT_LIMITS } from "../../../../layers/apply/limits.ts";
import type { UnpackTask } from "../../../../layers/apply/unpack-layer.ts";
import { WorkerPool } from "../../../../layers/apply/worker-pool.ts";
import { NATIVE } from "../../../../src/overlay/layer-form.ts";
import { bytesOf } from "../../../../src/paths.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

test("a pool is disposed while its threads start, and the process lives on", async () => {
  await using directory = temporaryDirectory();
  writeFileSync(bytesOf(directory.host("layer.tar")), Buffer.alloc(1024)); // two blocks of nothing: an empty tar
  const task: UnpackTask = {
    location: { file: directory.host("layer.tar"), offset: 0, sizeBytes: 1024 },
    directory: directory.host(),
    unpack: false,
    keepBlob: false,
    expectedDigest: null,
    expectedSizeBytes: null,
    expectedDiffId: null,
    limits: DEFAULT_LIMITS,
    form: NATIVE,
  };
  for (let round = 0; round < 10; round++) {
    const outcomes: Promise<string>[] = [];
    {
      await using pool = new WorkerPool(4);
      for (let at = 0; at < 4; at++) {
        outcomes.push(
          pool.unpack(task).then(
            () => "unpacked",
            () => "stopped",
          ),
        );
      }
    }
    assert.deepEqual(await Promise.all(outcomes), ["stopped", "stopped", "stopped", "stopped"]);
  }
});
