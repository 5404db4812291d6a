/** Who may do what, by owner, group, supplementary group and others (path_resolution(7)), and what root's powers are. */

import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import { joinHost } from "../../../src/paths.ts";
import { AT_FDCWD, chmod, chown, O_RDONLY, O_WRONLY } from "../../../src/sys/file.ts";
import { getXattr, listXattrs, setXattr } from "../../../src/sys/xattr.ts";
import { O_NOATIME, O_RDWR, utimens } from "../calls.ts";
import { check, type Given, group, refused } from "../check.ts";
import { ALICE, asUser, BOB, type User } from "../credentials.ts";
import { type Place, readFrom, writeTo } from "../place.ts";

const STAFF = 500;
const STAFFED: User = { ...BOB, groups: [7, STAFF, 9] };

/** A tree as root, with owners and modes: name, uid, gid, mode. */
function owned(tree: string, ...attributes: readonly (readonly [string, number, number, number])[]): Given {
  return {
    tree,
    root: true,
    furnish: (layer) => {
      if (layer === undefined) return;
      for (const [name, uid, gid, mode] of attributes) {
        chown(AT_FDCWD, joinHost(layer, name), uid, gid);
        chmod(AT_FDCWD, joinHost(layer, name), mode);
      }
    },
  };
}

function mayRead(place: Place, name: string, user: User): boolean {
  return asUser(user, () => {
    try {
      place.close(place.open(name, O_RDONLY));
      return true;
    } catch (error) {
      assert.equal((error as { code?: string }).code, "EACCES");
      return false;
    }
  });
}

export const permissions = group(
  "permissions",
  check(
    "a file is read by its owner, its group and nobody else",
    owned("f=1", ["f", ALICE.uid, STAFF, 0o640]),
    (place) => {
      assert.deepEqual(
        [ALICE, STAFFED, BOB].map((user) => mayRead(place, "f", user)),
        [true, true, false],
      );
    },
  ),
  check("a file is read by its group as the main one too", owned("f=1", ["f", 0, STAFF, 0o040]), (place) => {
    assert.equal(mayRead(place, "f", { uid: BOB.uid, gid: STAFF }), true);
  }),
  check(
    "the owner's bits count for the owner, even where others may more",
    owned("f=1", ["f", ALICE.uid, STAFF, 0o077]),
    (place) => {
      assert.deepEqual(
        [ALICE, STAFFED, BOB].map((user) => mayRead(place, "f", user)),
        [false, true, true],
      );
    },
  ),
  check(
    "the group's bits count for the group, even where others may more",
    owned("f=1", ["f", 0, STAFF, 0o604]),
    (place) => {
      assert.deepEqual(
        [STAFFED, BOB].map((user) => mayRead(place, "f", user)),
        [false, true],
      );
    },
  ),
  check("root reads and writes what nobody may", owned("f=1", ["f", ALICE.uid, ALICE.gid, 0]), (place) => {
    place.append("f", "2");
    assert.equal(place.read("f"), "12");
  }),
  check(
    "who owns a file below directories of root writes it",
    owned("d/e/f=1", ["d/e/f", ALICE.uid, ALICE.gid, 0o600]),
    (place) => {
      asUser(ALICE, () => place.append("d/e/f", "2"));
      assert.equal(place.read("d/e/f"), "12");
      assert.deepEqual(
        [place.owner("d/e"), place.mode("d/e"), place.owner("d/e/f")],
        ["0:0", "755", `${ALICE.uid}:${ALICE.gid}`],
      );
    },
  ),
  check("a file that all may write is written by all", owned("f=1", ["f", 0, 0, 0o666]), (place) => {
    asUser(BOB, () => place.append("f", "2"));
    assert.deepEqual([place.read("f"), place.owner("f"), place.mode("f")], ["12", "0:0", "666"]);
  }),
  check("a file is not written by who may only read it", owned("f=1", ["f", 0, 0, 0o644]), (place) => {
    for (const flags of [O_WRONLY, O_RDWR]) refused("EACCES", () => asUser(BOB, () => place.open("f", flags)));
    refused("EACCES", () => asUser(BOB, () => place.truncate("f", 0)));
    assert.equal(place.read("f"), "1");
  }),
  check(
    "what is below a directory that one may not search is out of reach",
    owned("d/f=1", ["d", 0, 0, 0o744]),
    (place) => {
      refused("EACCES", () => asUser(BOB, () => place.read("d/f")));
      refused("EACCES", () => asUser(BOB, () => place.stat("d/f")));
      assert.equal(
        asUser(BOB, () => place.names("d")),
        "f",
      );
    },
  ),
  check(
    "a directory that one may search but not read gives what is asked for by name",
    owned("d/f=1", ["d", 0, 0, 0o711]),
    (place) => {
      assert.equal(
        asUser(BOB, () => place.read("d/f")),
        "1",
      );
      refused("EACCES", () => asUser(BOB, () => place.names("d")));
    },
  ),
  check(
    "nothing is made, removed or renamed in a directory that one may not write",
    owned("d/f=1 d/e/", ["d", 0, 0, 0o755]),
    (place) => {
      for (const change of [
        () => place.write("d/new", "1"),
        () => place.mkdir("d/new"),
        () => place.symlink("x", "d/new"),
        () => place.unlink("d/f"),
        () => place.rmdir("d/e"),
        () => place.rename("d/f", "d/g"),
        () => place.link("d/f", "d/g"),
      ])
        assert.throws(() => asUser(BOB, change), { code: /^(EACCES|EPERM)$/ });
      assert.equal(place.tree(), "d/ d/e/ d/f=1");
    },
  ),
  check(
    "who may write a directory removes files of others",
    owned("d/f=1", ["d", BOB.uid, 0, 0o755], ["d/f", ALICE.uid, 0, 0o600]),
    (place) => {
      asUser(BOB, () => place.unlink("d/f"));
      assert.equal(place.names("d"), "");
    },
  ),
  check(
    "in a sticky directory only owners remove and rename",
    owned("d/f=1 d/g=1", ["d", 0, 0, 0o1777], ["d/f", ALICE.uid, 0, 0o666], ["d/g", BOB.uid, 0, 0o666]),
    (place) => {
      refused("EPERM", () => asUser(BOB, () => place.unlink("d/f")));
      refused("EPERM", () => asUser(BOB, () => place.rename("d/f", "d/x")));
      refused("EPERM", () => asUser(BOB, () => place.rename("d/g", "d/f")));
      asUser(ALICE, () => place.rename("d/f", "d/x"));
      asUser(ALICE, () => place.unlink("d/x"));
      assert.equal(place.tree(), "d/ d/g=1");
    },
  ),
  check(
    "the owner of a sticky directory removes what others own",
    owned("d/f=1", ["d", BOB.uid, 0, 0o1777], ["d/f", ALICE.uid, 0, 0o666]),
    (place) => {
      asUser(BOB, () => place.unlink("d/f"));
      assert.equal(place.names("d"), "");
    },
  ),
  check(
    "times are set to now by who may write, to others by the owner",
    owned("f=1", ["f", ALICE.uid, 0, 0o646]),
    (place) => {
      asUser(BOB, () => utimens(place.path("f"), "now", "now"));
      refused("EPERM", () => asUser(BOB, () => utimens(place.path("f"), 1n, 2n)));
      asUser(ALICE, () => utimens(place.path("f"), 1n, 2n));
      place.chmod("f", 0o644);
      refused("EACCES", () => asUser(BOB, () => utimens(place.path("f"), "now", "now")));
    },
  ),
  check(
    "attributes are set by who may write and read by who may read",
    owned("f=1", ["f", ALICE.uid, STAFF, 0o640]),
    (place) => {
      asUser(ALICE, () => setXattr(place.path("f"), "user.x", Buffer.from("1")));
      refused("EACCES", () => asUser(STAFFED, () => setXattr(place.path("f"), "user.x", Buffer.from("2"))));
      assert.equal(
        asUser(STAFFED, () => getXattr(place.path("f"), "user.x")?.toString()),
        "1",
      );
      refused("EACCES", () => asUser(BOB, () => getXattr(place.path("f"), "user.x")));
    },
  ),
  check("trusted attributes are for root alone", owned("f=1", ["f", ALICE.uid, 0, 0o666]), (place) => {
    setXattr(place.path("f"), "trusted.x", Buffer.from("1"));
    refused("EPERM", () => asUser(ALICE, () => setXattr(place.path("f"), "trusted.x", Buffer.from("2"))));
    assert.deepEqual(
      [getXattr(place.path("f"), "trusted.x")?.toString(), asUser(ALICE, () => listXattrs(place.path("f")))],
      ["1", []],
    );
  }),
  check("an open descriptor outlives the permission", owned("f=1", ["f", 0, 0, 0o666]), (place) => {
    const fd = asUser(BOB, () => place.open("f", O_RDWR));
    place.chmod("f", 0o600);
    assert.equal(
      asUser(BOB, () => readFrom(fd, null)),
      "1",
    );
    asUser(BOB, () => writeTo(fd, "2"));
    assert.equal(place.read("f"), "12");
    refused("EACCES", () => asUser(BOB, () => place.open("f")));
  }),
  check("access(2) answers for the user who asks", owned("f=1", ["f", ALICE.uid, 0, 0o504]), (place) => {
    const may = (user: User, mode: number): boolean =>
      asUser(user, () => {
        try {
          accessSync(place.path("f"), mode);
          return true;
        } catch {
          return false;
        }
      });
    const { R_OK, W_OK, X_OK } = constants;
    assert.deepEqual(
      [R_OK, W_OK, X_OK].map((mode) => may(ALICE, mode)),
      [true, false, true],
    );
    assert.deepEqual(
      [R_OK, W_OK, X_OK].map((mode) => may(BOB, mode)),
      [true, false, false],
    );
  }),
  check("root too executes only what has an execute bit", owned("f=1", ["f", 0, 0, 0o644]), (place) => {
    refused("EACCES", () => accessSync(place.path("f"), constants.X_OK));
    place.chmod("f", 0o645);
    accessSync(place.path("f"), constants.X_OK);
  }),
  check(
    "only the owner asks for reads that leave no access time",
    owned("f=1", ["f", ALICE.uid, 0, 0o644]),
    (place) => {
      asUser(ALICE, () => place.open("f", O_NOATIME));
      refused("EPERM", () => asUser(BOB, () => place.open("f", O_NOATIME)));
    },
  ),
  check("a permission that was given counts at once", owned("d/f=1", ["d", 0, 0, 0o700]), (place) => {
    refused("EACCES", () => asUser(BOB, () => place.read("d/f")));
    place.chmod("d", 0o755);
    assert.equal(
      asUser(BOB, () => place.read("d/f")),
      "1",
    );
    place.chmod("d/f", 0o600);
    refused("EACCES", () => asUser(BOB, () => place.read("d/f")));
  }),
  check(
    "a directory of another is not moved by who may write both above",
    owned("d/e/f=1 to/", ["d", 0, 0, 0o777], ["to", 0, 0, 0o777], ["d/e", ALICE.uid, 0, 0o755]),
    (place) => {
      assert.throws(() => asUser(BOB, () => place.rename("d/e", "to/e")), { code: /^(EACCES|EXDEV)$/ });
      assert.equal(place.tree(), "d/ d/e/ d/e/f=1 to/");
    },
  ),
);
