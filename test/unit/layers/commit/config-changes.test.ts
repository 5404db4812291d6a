import assert from "node:assert/strict";
import { test } from "node:test";
import { applyConfigChanges } from "../../../../layers/commit/config-changes.ts";

const BASE = { Env: ["PATH=/bin:/usr/bin", "HOME=/root"], Cmd: ["sh"], WorkingDir: "/srv", ArgsEscaped: true };

/** What `changes` make of a config, without what they left as it was. */
function changed(...changes: readonly string[]): unknown {
  const after = Object.entries(applyConfigChanges(BASE, changes));
  return Object.fromEntries(after.filter(([name, value]) => (BASE as Record<string, unknown>)[name] !== value));
}

test("CMD and ENTRYPOINT take a JSON array, or text for the shell", () => {
  assert.deepEqual(changed('CMD ["a", "b c"]'), { Cmd: ["a", "b c"] });
  assert.deepEqual(changed("cmd echo $HOME | cat"), { Cmd: ["/bin/sh", "-c", "echo $HOME | cat"] });
  assert.deepEqual(changed('CMD [ -f "x" ] && y'), { Cmd: ["/bin/sh", "-c", '[ -f "x" ] && y'] });
  assert.deepEqual(applyConfigChanges({ Shell: ["bash", "-c"] }, ["CMD x"]).Cmd, ["bash", "-c", "x"]);
});

test("ENTRYPOINT drops the base's CMD, but not one that was changed before", () => {
  assert.deepEqual(changed('ENTRYPOINT ["e"]'), { Entrypoint: ["e"], Cmd: null });
  assert.deepEqual(changed('CMD ["c"]', 'ENTRYPOINT ["e"]'), { Entrypoint: ["e"], Cmd: ["c"] });
});

test("ENV replaces in place and adds at the end, in both forms, with quotes and variables of the image", () => {
  const env = (...changes: string[]): unknown => (changed(...changes) as { Env: unknown }).Env;
  assert.deepEqual(env("ENV A=1 HOME=/h"), ["PATH=/bin:/usr/bin", "HOME=/h", "A=1"]);
  assert.deepEqual(env("ENV A x  y=z"), ["PATH=/bin:/usr/bin", "HOME=/root", "A=x  y=z"]);
  assert.deepEqual(env(`ENV A="x y" B='$HOME' C=a\\ b D=`), [...BASE.Env, "A=x y", "B=$HOME", "C=a b", "D="]);
  assert.deepEqual(env("ENV PATH=/opt:$PATH A=1"), ["PATH=/opt:/bin:/usr/bin", "HOME=/root", "A=1"]);
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the variables are the image's
  assert.deepEqual(env('ENV A="${NO:-d}${HOME:+s}" B=\\$HOME'), [...BASE.Env, "A=ds", "B=$HOME"]);
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the variables are the image's
  assert.deepEqual(env("ENV A=1 B=$A"), [...BASE.Env, "A=1", "B="], "one instruction sees the values before it");
  assert.deepEqual(env("ENV A=1", "ENV B=$A"), [...BASE.Env, "A=1", "B=1"]);
});

test("LABEL, EXPOSE and VOLUME add to what is there, sorted", () => {
  const base = { Labels: { z: "1" }, ExposedPorts: { "90/tcp": {} }, Volumes: { "/z": {} } };
  const after = applyConfigChanges(base, [
    'LABEL b="x y" a.b=1',
    "EXPOSE 80 53/UDP 7-9",
    'VOLUME ["/a b", "/c"]',
    "VOLUME /d",
  ]);
  assert.equal(JSON.stringify(after.Labels), '{"a.b":"1","b":"x y","z":"1"}');
  assert.deepEqual(Object.keys(after.ExposedPorts ?? {}), ["53/udp", "7/tcp", "8/tcp", "80/tcp", "9/tcp", "90/tcp"]);
  assert.deepEqual(Object.keys(after.Volumes ?? {}), ["/a b", "/c", "/d", "/z"]);
});

test("USER, WORKDIR, STOPSIGNAL and ONBUILD", () => {
  assert.deepEqual(changed("USER app:app"), { User: "app:app" });
  assert.deepEqual(changed("WORKDIR /a/b"), { WorkingDir: "/a/b" });
  assert.deepEqual(changed("WORKDIR /a/../b//./c/"), { WorkingDir: "/b/c" });
  assert.deepEqual(changed("WORKDIR ../x/./y"), { WorkingDir: "/x/y" });
  assert.deepEqual(changed("WORKDIR $HOME/w"), { WorkingDir: "/root/w" });
  assert.deepEqual(changed("STOPSIGNAL SIGRTMIN+3"), { StopSignal: "SIGRTMIN+3" });
  assert.deepEqual(changed("ONBUILD RUN  x", "ONBUILD COPY a b"), { OnBuild: ["RUN  x", "COPY a b"] });
});

test("HEALTHCHECK takes options with Go durations, a command in both forms, or NONE", () => {
  const check = (text: string): unknown => (changed(`HEALTHCHECK ${text}`) as { Healthcheck: unknown }).Healthcheck;
  assert.deepEqual(check("NONE"), { Test: ["NONE"] });
  assert.deepEqual(check("CMD curl -f x"), { Test: ["CMD-SHELL", "curl -f x"] });
  assert.deepEqual(check('--interval=1m30s --timeout=1.5s --start-period=2ms --retries=3 CMD ["a"]'), {
    Test: ["CMD", "a"],
    Interval: 90_000_000_000,
    Timeout: 1_500_000_000,
    StartPeriod: 2_000_000,
    Retries: 3,
  });
});

test("a change of several lines is several instructions", () => {
  assert.deepEqual(changed("USER a\n# not this\n\nENV A=1 \\\n  B=2"), {
    User: "a",
    Env: [...BASE.Env, "A=1", "B=2"],
  });
});

test("fields that nothing changes stay in place, unknown ones too", () => {
  const after = applyConfigChanges({ Unknown: [1], ...BASE } as object, ["USER u"]);
  assert.deepEqual(Object.keys(after), ["Unknown", "Env", "Cmd", "WorkingDir", "ArgsEscaped", "User"]);
});

const WRONG = {
  "RUN x": /must begin with one of CMD/,
  CMD: /has no argument/,
  "CMD [1]": /only strings/,
  "ENV A": /must be KEY=VALUE/,
  "ENV A=1 B": /"B" must be KEY=VALUE/,
  "ENV =1": /a name is empty/,
  'ENV A="x': /a " is not closed/,
  "EXPOSE 70000": /"70000" is not a port/,
  "EXPOSE x": /"x" is not a port/,
  "HEALTHCHECK x": /must be CMD/,
  "HEALTHCHECK NONE x": /takes no arguments/,
  "HEALTHCHECK CMD": /has no command/,
  "HEALTHCHECK --interval=1 CMD x": /--interval: "1" is not a duration/,
  "HEALTHCHECK --interval=1us CMD x": /at least 1ms/,
  "HEALTHCHECK --often=1s CMD x": /--often is not known/,
  "ONBUILD ONBUILD RUN x": /cannot trigger another/,
  "ONBUILD FROM x": /FROM cannot be a trigger/,
  "STOPSIGNAL a b": /not a signal/,
  "STOPSIGNAL BOGUS": /not a signal/,
  "STOPSIGNAL 65": /not a signal/,
  'VOLUME [""]': /no path/,
};

for (const [change, message] of Object.entries(WRONG)) {
  test(`${JSON.stringify(change)} is refused by name`, () => {
    assert.throws(
      () => applyConfigChanges(BASE, [change]),
      (error: Error) => "code" in error && error.code === "ERR_CONFIG_CHANGE" && message.test(error.message),
    );
  });
}
