import assert from "node:assert/strict";
import { test } from "node:test";
import { ALLOWED_CALLS, CALLS_BY_CAPABILITY } from "../../../../src/exec/seccomp/default-calls.ts";
import { defaultProfile, parseProfile } from "../../../../src/exec/seccomp/profile.ts";

const DOCUMENT = {
  defaultAction: "SCMP_ACT_ERRNO",
  archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
  syscalls: [
    { names: ["read"], action: "SCMP_ACT_ALLOW", args: [], comment: "", includes: {}, excludes: {} },
    { names: ["mount"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_SYS_ADMIN"] } },
    { names: ["clone"], action: "SCMP_ACT_ALLOW", excludes: { caps: ["CAP_SYS_ADMIN"], arches: ["s390"] } },
    { names: ["ptrace"], action: "SCMP_ACT_ALLOW", includes: { minKernel: "4.8" } },
    { names: ["future"], action: "SCMP_ACT_ALLOW", includes: { minKernel: "999.0" } },
  ],
};

test("the default profile has each call once, and what a capability opens only with it", () => {
  assert.equal(new Set(ALLOWED_CALLS).size, ALLOWED_CALLS.length);
  const opened = Object.values(CALLS_BY_CAPABILITY).flatMap((names) => names.split(" "));
  assert.deepEqual(
    ALLOWED_CALLS.filter((name) => opened.includes(name)),
    [],
  );
  const namesOf = (...held: Parameters<typeof defaultProfile>[0]): readonly string[] =>
    defaultProfile(held).syscalls?.[0]?.names ?? [];
  assert.equal(namesOf().includes("mount"), false);
  assert.equal(namesOf("CAP_SYS_ADMIN").includes("mount"), true);
  for (const name of ["keyctl", "kexec_load", "io_uring_setup", "userfaultfd"]) {
    assert.equal(namesOf("CAP_SYS_ADMIN", "CAP_SYS_MODULE").includes(name), false, name);
  }
});

test("a profile in docker's form has the rules whose conditions hold", () => {
  const names = (...held: Parameters<typeof defaultProfile>[0]): readonly string[] =>
    parseProfile(JSON.stringify(DOCUMENT), held).syscalls?.flatMap((rule) => rule.names) ?? [];
  assert.deepEqual(names(), ["read", "clone", "ptrace"]);
  assert.deepEqual(names("CAP_SYS_ADMIN"), ["read", "mount", "ptrace"]);
});

test("what is no profile is refused with what is wrong", () => {
  for (const [text, words] of [
    ["{", /JSON/],
    ["[]", /the profile is not an object/],
    ["{}", /"undefined" is no action/],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}}', /"syscalls" is not a list/],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[1],"action":"SCMP_ACT_LOG"}]}', /no text/],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","args":[{"op":"="}]}]}',
      /no operator/,
    ],
  ] as const) {
    assert.throws(() => parseProfile(text, []), { code: "ERR_SECCOMP_PROFILE", message: words });
  }
});
