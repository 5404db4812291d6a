import assert from "node:assert/strict";
import { test } from "node:test";
import { Slots } from "../../../layers/slots.ts";

test("no more than the given number are out at once, and who asks first goes first", async () => {
  const slots = new Slots(2);
  const order: number[] = [];
  let out = 0;
  const work = async (id: number): Promise<void> => {
    using _slot = await slots.take();
    out += 1;
    assert.ok(out <= 2);
    order.push(id);
    await new Promise((resolve) => setImmediate(resolve));
    out -= 1;
  };
  await Promise.all([1, 2, 3, 4, 5].map(work));
  assert.deepEqual(order, [1, 2, 3, 4, 5]);
  using _first = await slots.take();
  using _second = await slots.take(); // all have come back
});
