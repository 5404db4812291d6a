/** mute-server.ts TARGET: mounts a FUSE file system there and never answers a request, for the test of the suite itself. */

import { openSync } from "node:fs";
import { hostPath } from "../../src/paths.ts";
import { mount } from "../../src/sys/mount.ts";

const fd = openSync("/dev/fuse", "r+");
mount("mute", hostPath(process.argv[2] ?? ""), "fuse", 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0`);
setTimeout(() => {}, 60_000);
