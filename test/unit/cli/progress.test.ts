import assert from "node:assert/strict";
import { test } from "node:test";
import { Bar, barLine } from "../../../cli/progress.ts";

const state = { label: "unpacking", done: 50, total: 200, unit: "bytes" } as const;

test("a bar shows its share, the amounts and what is going on", () => {
  assert.equal(barLine(state, 80), "[######------------------]  25%  50 B / 200 B  unpacking");
});

test("a bar whose end is not known shows the amount alone", () => {
  assert.equal(barLine({ ...state, total: 0 }, 80), "unpacking  50 B");
});

test("a bar is always shorter than the terminal is wide, and never over 100 %", () => {
  assert.equal(barLine(state, 20).length, 19);
  assert.match(barLine({ ...state, done: 999 }, 80), /100%/);
});

test("a bar is redrawn at most ten times a second and is gone when it is disposed", () => {
  const drawn: string[] = [];
  {
    using bar = new Bar(
      (text) => drawn.push(text),
      () => 80,
    );
    bar.show(state);
    bar.show({ ...state, done: 51 });
  }
  assert.equal(drawn.length, 2);
  assert.equal(drawn[1], "\r\x1b[K");
});
