import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { describe } from "../../../cli/errors.ts";
import {
  ConflictError,
  IntegrityError,
  NotFoundError,
  PosixError,
  UnsupportedError,
  UsageError,
} from "../../../src/errors.ts";
import { hostPath } from "../../../src/paths.ts";

test("every class of error has the exit code that scripts rely on", () => {
  const codes = [
    new Error("a bug"),
    new UsageError("ERR_X", "x"),
    new NotFoundError("ERR_X", "x"),
    new ConflictError("ERR_X", "x"),
    new IntegrityError("ERR_X", "x"),
    new UnsupportedError("ERR_X", "x"),
    new PosixError(28, "write"),
  ].map((error) => describe(error).exitCode);
  assert.deepEqual(codes, [1, 2, 3, 4, 5, 6, 7]);
});

test("an error keeps its code and values, and says what to do next where that helps", () => {
  const described = describe(new NotFoundError("ERR_IMAGE_NOT_FOUND", "Cannot find", { data: { reference: "a" } }));
  assert.deepEqual(described, {
    class: "NotFoundError",
    code: "ERR_IMAGE_NOT_FOUND",
    exitCode: 3,
    message: "Cannot find",
    data: { reference: "a" },
    next: '"layerctl images" lists the images there are, "layerctl import" brings one in',
  });
  const full = (path: string) => describe(new PosixError(28, "write", path), "save", hostPath("/store")).next ?? "";
  assert.match(full("/store/tmp/x"), /layerctl gc/);
  assert.doesNotMatch(full("/elsewhere/store"), /layerctl/);
  assert.equal(describe(new UsageError("ERR_X", "x"), "mount").next, 'see "layerctl mount --help"');
  assert.match(describe(new TypeError("x is not a function")).next ?? "", /--debug/);
});

test("what failed first is told, not that cleaning up failed too", () => {
  const full = (): void => {
    using _broken = {
      [Symbol.dispose]() {
        throw new PosixError(5, "unlink");
      },
    };
    throw new PosixError(28, "write");
  };
  assert.throws(full, (error) => {
    const { code, exitCode } = describe(error);
    assert.deepEqual([code, exitCode], ["ENOSPC", 7]);
    return true;
  });
});

test("what the host refused reads as our own messages do, and reaches no terminal", () => {
  assert.equal(describe(new PosixError(28, "write", "/x")).message, 'Cannot write "/x": no space left on device');
  assert.equal(describe(new PosixError(13, "open", "/\x1b[m")).message, 'Cannot open "/\\x1b[m": permission denied');
  assert.equal(describe(new PosixError(5, "write")).message, "Cannot write: i/o error");
  assert.throws(
    () => readFileSync("/nowhere/file"),
    (error) => describe(error).message === 'Cannot open "/nowhere/file": no such file or directory',
  );
});
