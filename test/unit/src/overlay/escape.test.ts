import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapeXattr, unescapeXattr } from "../../../../src/overlay/escape.ts";

test("overlay attributes of a payload are stored one level deeper, everything else as it is", () => {
  assert.equal(escapeXattr("trusted.overlay.opaque"), "trusted.overlay.overlay.opaque");
  assert.equal(escapeXattr("trusted.overlay.overlay.opaque"), "trusted.overlay.overlay.overlay.opaque");
  assert.equal(escapeXattr("user.overlay.opaque", "user"), "user.overlay.overlay.opaque");
  for (const name of ["user.overlay.opaque", "trusted.overlayx", "trusted.overlay", "security.capability"]) {
    assert.equal(escapeXattr(name), name);
  }
});

test("overlayfs' own attributes are not shown", () => {
  for (const name of ["trusted.overlay.opaque", "trusted.overlay.overlay", "trusted.overlay."]) {
    assert.equal(unescapeXattr(name), null);
  }
  assert.equal(unescapeXattr("trusted.overlay.opaque", "user"), "trusted.overlay.opaque");
});

test("what is escaped is shown as it was, at any depth", () => {
  const name = fc
    .array(fc.constantFrom("trusted.", "user.", "overlay.", "opaque", "\xff"), { maxLength: 6 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(name, fc.constantFrom("trusted" as const, "user" as const), (shown, namespace) => {
      assert.equal(unescapeXattr(escapeXattr(shown, namespace), namespace), shown);
    }),
  );
});
