import assert from "node:assert/strict";
import test from "node:test";
import {
  familiarName,
  formatReference,
  parseReference,
  parseSourceReference,
} from "../../../../layers/oci/reference.ts";
import { digestOf } from "../../../../src/digest.ts";
import { IntegrityError, UsageError } from "../../../../src/errors.ts";

const digest = digestOf("x");

test("references get docker's defaults and familiar names", () => {
  // Full and familiar forms as distribution/reference's own tests give them.
  const cases: [text: string, full: string, familiar: string][] = [
    ["debian", "docker.io/library/debian:latest", "debian:latest"],
    ["debian:12", "docker.io/library/debian:12", "debian:12"],
    ["library/debian", "docker.io/library/debian:latest", "debian:latest"],
    ["docker.io/debian", "docker.io/library/debian:latest", "debian:latest"],
    ["docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"],
    ["index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest"],
    ["foo/bar", "docker.io/foo/bar:latest", "foo/bar:latest"],
    ["library/foo/bar", "docker.io/library/foo/bar:latest", "library/foo/bar:latest"],
    ["localhost/foo", "localhost/foo:latest", "localhost/foo:latest"],
    ["localhost:5000/foo:1", "localhost:5000/foo:1", "localhost:5000/foo:1"],
    ["example.com/a/b_c/d__e/f--g.h", "example.com/a/b_c/d__e/f--g.h:latest", "example.com/a/b_c/d__e/f--g.h:latest"],
    ["127.0.0.1:80/x", "127.0.0.1:80/x:latest", "127.0.0.1:80/x:latest"],
    ["[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo:latest", "[2001:db8::1]:5000/repo:latest"],
    ["xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com"],
    ["Foo/bar", "Foo/bar:latest", "Foo/bar:latest"],
    ["debian:Tag_1.2-x", "docker.io/library/debian:Tag_1.2-x", "debian:Tag_1.2-x"],
    [`debian@${digest}`, `docker.io/library/debian@${digest}`, `debian@${digest}`],
    [`x.y/debian:1@${digest}`, `x.y/debian:1@${digest}`, `x.y/debian:1@${digest}`],
  ];
  for (const [text, full, familiar] of cases) {
    const reference = parseReference(text);
    assert.equal(formatReference(reference), full);
    assert.equal(familiarName(reference), familiar);
    assert.deepEqual(parseReference(full), reference);
    assert.deepEqual(parseReference(familiar), reference);
  }
});

test("references with bad characters or lengths are refused with what is allowed", () => {
  const cases: [text: string, why: RegExp][] = [
    ["", /empty/],
    ["Debian", /lower-case/],
    ["foo/Bar", /lower-case/],
    ["a b", /"a b" is not a name: a-z/],
    ["../../etc/passwd", /not a host/],
    ["a/../b", /"\.\." is not a name/],
    ["a//b", /empty/],
    ["/a", /part of its name/],
    ["a/", /empty/],
    ["-a", /"-a" is not a name/],
    ["a___b", /is not a name/],
    ["a..b", /is not a name/],
    ["a:", /"" is not a tag/],
    ["a:-x", /not a tag/],
    ["a:b:c", /"b:c" is not a tag/],
    [`a:${"x".repeat(129)}`, /129 characters long, the most is 128/],
    ["x".repeat(256), /264 characters long, the most is 255/],
    ["x".repeat(5000), /5000 characters long/],
    ["a@sha256:123", /64 hex digits/],
    ["a@md5:d41d8cd98f00b204e9800998ecf8427e", /64 hex digits/],
    ["a".repeat(64), /digest, not a name/],
    ["ex_ample.com/a", /not a host/],
    ["example.com:port/a", /not a host/],
    ["café", /not a name/],
    ["a\nb", /not a name/],
    ["a\u0000", /not a name/],
  ];
  for (const [text, why] of cases) {
    assert.throws(
      () => parseReference(text),
      (error) => error instanceof UsageError && error.code === "ERR_REFERENCE_FORMAT" && why.test(error.message),
      text,
    );
  }
});

test("a bad name in a source is the source's fault", () => {
  assert.throws(
    () => parseSourceReference("UPPER"),
    (error) => error instanceof IntegrityError && error.code === "ERR_REFERENCE_FORMAT" && /--name/.test(error.message),
  );
});
