import assert from "node:assert/strict";
import { test } from "node:test";
import { mountFuse } from "../helpers/fuse-mount.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeScene } from "../helpers/union-scene.ts";

for (const name of ["layer0", "upper", "work", "."]) {
  const where = name === "." ? "the directory that all of it lies in" : `its own ${name}`;
  test(`a union mounted over ${where} does not wait for itself`, { skip: requires("root", "fuse") }, async () => {
    await using directory = temporaryDirectory();
    const options = writeScene(directory, ["a=1 d/b=2", "c=3"]);
    await using mount = await mountFuse(options, directory.host(name));
    mount.sh("chmod 600 a && rm d/b && mkdir e && mv c e && ln a f");
    assert.equal(mount.sh("find . -type f | sort"), "./a\n./e/c\n./f");
    await mount.unmount();
  });
}
