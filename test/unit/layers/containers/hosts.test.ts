import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hostsText, updateHosts } from "../../../../layers/containers/hosts.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

const OWN = { address: "172.29.0.2", names: ["web", "web"] };
const OTHER = { address: "172.29.0.3", names: ["db", "data"] };

test("the others' lines are changed in place, and nothing else of the file", async () => {
  await using directory = temporaryDirectory();
  const path = join(directory.path, "hosts");
  writeFileSync(path, hostsText([OWN], [OTHER]));
  const { ino } = statSync(path);
  assert.match(readFileSync(path, "utf8"), /^172\.29\.0\.2\tweb\n172\.29\.0\.3\tdb data\t# layerctl\n$/m);
  writeFileSync(path, `${readFileSync(path, "utf8")}1.2.3.4 \xe4 # mine`, "latin1"); // no newline at its end, nor UTF-8
  updateHosts(directory.host("hosts"), []);
  assert.match(readFileSync(path, "latin1"), /web\n1\.2\.3\.4 \xe4 # mine\n$/);
  updateHosts(directory.host("hosts"), [OTHER]);
  assert.match(readFileSync(path, "latin1"), /# mine\n172\.29\.0\.3\tdb data\t# layerctl\n$/);
  assert.equal(statSync(path).ino, ino, "a container has the inode mounted");
});

test("a file that is gone or has become huge is left alone", async () => {
  await using directory = temporaryDirectory();
  updateHosts(directory.host("nosuch"), [OTHER]);
  const huge = "x".repeat(2 ** 20 + 1);
  writeFileSync(join(directory.path, "hosts"), huge);
  updateHosts(directory.host("hosts"), [OTHER]);
  assert.equal(readFileSync(join(directory.path, "hosts"), "utf8") === huge, true);
});
