import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parseEnvironment,
  parseSecurityOptions,
  parseTmpfs,
  parseUlimit,
  parseVolume,
  refuseOwnPlaces,
  refuseTwice,
} from "../../../../layers/containers/options.ts";
import { capabilitiesFor } from "../../../../src/exec/capabilities.ts";

test("a volume is a source and a place, both absolute", () => {
  assert.deepEqual(parseVolume("/a:/b//c/"), {
    destination: "/b/c",
    type: "bind",
    source: "/a",
    options: ["rbind", "rprivate", "rw"],
  });
  assert.deepEqual(parseVolume("/a:/b:ro").options.at(-1), "ro");
  for (const text of ["/a", "a:/b", "/a:b", "/a:/b:x", "/a:/b:ro:x", "/a:/", "/a:/b/../c", ""]) {
    assert.throws(() => parseVolume(text), { code: "ERR_VOLUME" }, text);
  }
  assert.throws(() => refuseTwice([parseVolume("/a:/b"), parseTmpfs("/b/")]), { code: "ERR_VOLUME" });
});

test("/dev, /proc and /sys are the container's own, unless it is privileged", () => {
  const volume = parseVolume("/a:/dev");
  assert.throws(() => refuseOwnPlaces([volume], false), { code: "ERR_VOLUME" });
  refuseOwnPlaces([volume], true);
  refuseOwnPlaces([parseVolume("/a:/dev/x")], false);
});

test("a tmpfs is without devices, setuid and programs unless it is said", () => {
  assert.deepEqual(parseTmpfs("/t").options, ["nodev", "nosuid", "noexec"]);
  assert.deepEqual(parseTmpfs("/t:size=1m,exec,mode=700").options, ["nodev", "nosuid", "size=1m", "mode=700"]);
  for (const text of ["t", "/", "/t:dev", "/t:context=x"])
    assert.throws(() => parseTmpfs(text), { code: "ERR_VOLUME" }, text);
});

test("limits of the command are as docker's --ulimit", () => {
  assert.deepEqual(parseUlimit("nofile=10:20"), { type: "RLIMIT_NOFILE", soft: 10, hard: 20 });
  assert.deepEqual(parseUlimit("core=unlimited"), { type: "RLIMIT_CORE", soft: -1, hard: -1 });
  assert.deepEqual(parseUlimit("cpu=5:-1"), { type: "RLIMIT_CPU", soft: 5, hard: -1 });
  for (const text of ["nofile", "files=1", "nofile=2:1", "nofile=-1:5", "nofile=x"]) {
    assert.throws(() => parseUlimit(text), { code: "ERR_ULIMIT" }, text);
  }
});

test("the last value of a variable counts, and one without a value is taken from here", () => {
  process.env.LAYERCTL_TEST_VARIABLE = "here";
  const variables = parseEnvironment(["A=1", "B=x=y", "A=2", "LAYERCTL_TEST_VARIABLE", "LAYERCTL_TEST_ABSENT"]);
  assert.deepEqual(
    [...variables],
    [
      ["A", "2"],
      ["B", "x=y"],
      ["LAYERCTL_TEST_VARIABLE", "here"],
    ],
  );
  assert.throws(() => parseEnvironment(["=x"]), { code: "ERR_ENVIRONMENT" });
});

test("security options are no-new-privileges and seccomp, of which the last one counts", () => {
  const of = parseSecurityOptions;
  assert.deepEqual(of([]), { noNewPrivileges: false, seccomp: "default" });
  assert.equal(of(["no-new-privileges"]).noNewPrivileges, true);
  assert.equal(of(["no-new-privileges:true", "no-new-privileges=false"]).noNewPrivileges, false);
  assert.equal(of(["seccomp=unconfined"]).seccomp, "unconfined");
  assert.throws(() => of(["label=disable"]), { code: "ERR_SECURITY_OPTION" });
});

test("capabilities are named in any case, and what is dropped wins", () => {
  const of = (add: readonly string[], drop: readonly string[]): readonly string[] =>
    capabilitiesFor({ add, drop, privileged: false });
  assert.equal(of(["sys_ptrace", "CAP_SYS_PTRACE"], ["Sys_Ptrace"]).includes("CAP_SYS_PTRACE"), false);
  assert.deepEqual(of([], ["all"]), []);
  assert.equal(of(["ALL"], ["kill"]).includes("CAP_KILL"), false);
  assert.throws(() => of(["nosuch"], []), { code: "ERR_CAPABILITY" });
});
