/** Names are bytes: any but "/" and NUL, up to 255 of them. */

import assert from "node:assert/strict";
import { lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { bytesOf, joinHost } from "../../../src/paths.ts";
import { check, type Given, group, refused } from "../check.ts";
import type { Place } from "../place.ts";

const ODD: Readonly<Record<string, readonly string[]>> = {
  "bytes that are no text": ["\xff", "\xc3", "\x80\xfe", "a\xffb"],
  "control characters": ["\n", "\t", "\x01", "\x7f", "a\nb"],
  "what shells and mount options divide at": [" ", "a b", ",", ":", "\\", "\\072", "'", '"', "*", "=", "%M", "#"],
  "leading dots and dashes": ["...", ".a", "-", "--", "-a", "~"],
  "what image layers keep for themselves": [".wh.x", ".wh.", ".wh..wh.x", ".wh..wh..opq", ".wh..opq", ".wh..wh.plnk"],
  "what union file systems keep for themselves": ["work", "index", "#1", ".fuse_hidden0001", ".wh", "upper", "merged"],
};

const ODD_LAYER: Given = {
  tree: ".x=1 a,b:c=1",
  furnish: (layer) => {
    if (layer === undefined) return;
    mkdirSync(bytesOf(joinHost(layer, "d\xfe")));
    for (const name of ["\xff", "d\xfe/\xfd"]) writeFileSync(bytesOf(joinHost(layer, name)), "1");
  },
};

/** Makes, finds, lists, renames and removes a file and a directory of the name. */
function live(place: Place, name: string): void {
  place.write(name, "1");
  assert.deepEqual([place.read(name), place.names()], ["1", name]);
  place.rename(name, `${name}2`);
  assert.equal(place.names(), `${name}2`);
  place.rename(`${name}2`, name);
  place.unlink(name);
  place.mkdir(name);
  place.write(`${name}/${name}`, "2");
  assert.deepEqual([place.names(), place.names(name), place.read(`${name}/${name}`)], [name, name, "2"]);
  place.unlink(`${name}/${name}`);
  place.rmdir(name);
  assert.equal(place.names(), "");
}

export const names = group(
  "names",
  ...Object.entries(ODD).map(([what, list]) =>
    check(`${what} are names as any other`, "", (place) => {
      for (const name of list) live(place, name);
    }),
  ),
  check("odd names of a layer are shown, changed and removed", ODD_LAYER, (place) => {
    assert.equal(place.names(), ".x a,b:c d\xfe \xff");
    for (const name of [".x", "a,b:c", "d\xfe/\xfd", "\xff"]) {
      place.append(name, "2");
      assert.equal(place.read(name), "12");
      place.unlink(name);
    }
    assert.deepEqual([place.names(), place.names("d\xfe")], ["d\xfe", ""]);
  }),
  check(
    "a name that looks like a whiteout of an image layer hides nothing",
    "x=1 .wh.x=2 d/y=1 d/.wh..wh..opq=2",
    (place) => {
      assert.deepEqual([place.names(), place.names("d")], [".wh.x d x", ".wh..wh..opq y"]);
      place.unlink("x");
      assert.equal(place.read(".wh.x"), "2");
      place.unlink(".wh.x");
      assert.equal(place.names(), "d");
    },
  ),
  check("a name of 255 bytes is kept, one of 256 is refused", "", (place) => {
    const [longest, tooLong] = ["n".repeat(255), "n".repeat(256)];
    place.write(longest, "1");
    place.rename(longest, "m".repeat(255));
    assert.equal(place.names(), "m".repeat(255));
    for (const call of [
      () => place.stat(tooLong),
      () => place.write(tooLong, "1"),
      () => place.mkdir(tooLong),
      () => place.symlink("x", tooLong),
      () => place.link("m".repeat(255), tooLong),
      () => place.rename("m".repeat(255), tooLong),
      () => place.unlink(tooLong),
    ])
      refused("ENAMETOOLONG", call);
  }),
  check("a lower file with a name of 255 bytes is changed and removed", `${"n".repeat(255)}=1`, (place) => {
    place.append("n".repeat(255), "2");
    assert.equal(place.read("n".repeat(255)), "12");
    place.unlink("n".repeat(255));
    assert.equal(place.names(), "");
  }),
  check("a path of 4,096 bytes is refused", "", (place) => {
    const rest = 4095 - place.path().length; // by node: our own calls take longer ones
    refused("ENOENT", () => lstatSync(place.path("x/".repeat(rest).slice(0, rest - 1))));
    refused("ENAMETOOLONG", () => lstatSync(place.path("x/".repeat(rest).slice(0, rest))));
  }),
  check("upper and lower case are two names, and so are two ways to write an umlaut", "", (place) => {
    const umlauts = ["\u00fc", "u\u0308"].map((text) => Buffer.from(text).toString("latin1"));
    for (const name of ["a", "A", ...umlauts]) place.write(name, name);
    for (const name of ["a", "A", ...umlauts]) assert.equal(place.read(name), name);
  }),
);
