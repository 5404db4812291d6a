import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, statSync, writeFileSync } from "node:fs";
import test from "node:test";
import Sqlite from "better-sqlite3";
import { parseDigest } from "../../../../src/digest.ts";
import { ConflictError, IntegrityError, UnsupportedError } from "../../../../src/errors.ts";
import { getBlob, insertBlob, listBlobs } from "../../../../src/meta/blobs.ts";
import { openDatabase } from "../../../../src/meta/database.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

const DIGEST = parseDigest(`sha256:${"a".repeat(64)}`);

test("what a committed transaction wrote is there when the database is opened again", async () => {
  await using directory = temporaryDirectory();
  {
    using db = openDatabase(directory.host("store.db"));
    db.transaction("durable", () => insertBlob(db, { digest: DIGEST, sizeBytes: 3 }));
  }
  using db = openDatabase(directory.host("store.db"));
  assert.deepEqual(getBlob(db, DIGEST), { digest: DIGEST, sizeBytes: 3 });
});

test("a throw inside a transaction, or one nested in it, undoes all of it", async () => {
  await using directory = temporaryDirectory();
  using db = openDatabase(directory.host("store.db"));
  const work = () => {
    insertBlob(db, { digest: DIGEST, sizeBytes: 3 });
    db.transaction("relaxed", () => {
      throw new Error("stop");
    });
  };
  assert.throws(() => db.transaction("durable", work), /stop/);
  assert.deepEqual(listBlobs(db), []);
});

test("a log that was laid out is written over instead of growing, and what it has is read to its end", async () => {
  await using directory = temporaryDirectory();
  using db = openDatabase(directory.host("store.db"));
  using other = openDatabase(directory.host("store.db"));
  for (const each of [db, other]) each.prepareLog(); // neither checkpoints by itself
  const sizeBytes = (): number => statSync(`${directory.path}/store.db-wal`).size;
  const laidOutBytes = sizeBytes();
  let written = 0;
  const write = (): void => {
    const digest = parseDigest(`sha256:${(written++).toString(16).padStart(8, "0").repeat(8)}`);
    db.transaction("relaxed", () => insertBlob(db, { digest, sizeBytes: 1 }));
  };
  for (let round = 0; round < 3; round++) {
    if (round > 0) other.restartLog();
    for (let index = 0; index < 2400; index++) write(); // 1.4 pages each
  }
  assert.equal(other.checkpoint(), true, "the log is long");
  write();
  assert.equal(other.checkpoint(), false);
  await db.flush("data");
  assert.equal(sizeBytes(), laidOutBytes);

  for (const end of ["", "-wal"]) copyFileSync(`${directory.path}/store.db${end}`, `${directory.path}/copy.db${end}`);
  using copy = openDatabase(directory.host("copy.db")); // as after kill -9: what follows the last frame are zeros and old frames
  assert.equal(listBlobs(copy).length, written);
  assert.deepEqual(copy.check(), []);
});

test("a database of a newer layerctl is refused in words", async () => {
  await using directory = temporaryDirectory();
  openDatabase(directory.host("store.db"))[Symbol.dispose]();
  const connection = new Sqlite(`${directory.path}/store.db`);
  connection.exec("PRAGMA user_version = 999");
  connection.close();
  assert.throws(
    () => openDatabase(directory.host("store.db")),
    (error) => error instanceof UnsupportedError && error.code === "ERR_STORE_NEWER" && /999/.test(error.message),
  );
});

test("a file that is no database is refused as corrupt, with its name and what to do", async () => {
  await using directory = temporaryDirectory();
  writeFileSync(`${directory.path}/store.db`, "this is not a database at all".repeat(100));
  assert.throws(
    () => openDatabase(directory.host("store.db")),
    (error) =>
      error instanceof IntegrityError &&
      error.message.includes(directory.path) &&
      error.message.includes("keep a copy"),
  );
});

test("eight processes that open a new store at once all find the same schema", async () => {
  await using directory = temporaryDirectory();
  const script = `
    import { openDatabase } from ${JSON.stringify(new URL("../../../../src/meta/database.ts", import.meta.url).href)};
    import { insertBlob } from ${JSON.stringify(new URL("../../../../src/meta/blobs.ts", import.meta.url).href)};
    const [path, letter] = process.argv.slice(1);
    using db = openDatabase(path);
    db.transaction("durable", () => insertBlob(db, { digest: "sha256:" + letter.repeat(64), sizeBytes: 1 }));`;
  const children = [..."01234567"].map((letter) =>
    spawn(process.execPath, ["--input-type=module", "-e", script, `${directory.path}/store.db`, letter], {
      stdio: ["ignore", "inherit", "inherit"],
    }),
  );
  const codes = await Promise.all(children.map(async (child) => (await once(child, "exit"))[0]));
  assert.deepEqual(codes, new Array(8).fill(0));
  using db = openDatabase(directory.host("store.db"));
  assert.equal(listBlobs(db).length, 8);
});

test("a database that another process keeps locked is a conflict, not a bug", async () => {
  await using directory = temporaryDirectory();
  openDatabase(directory.host("store.db"))[Symbol.dispose]();
  const holder = new Sqlite(`${directory.path}/store.db`);
  const { translate } = await import("../../../../src/meta/sqlite.ts");
  holder.exec("BEGIN IMMEDIATE");
  const other = new Sqlite(`${directory.path}/store.db`, { timeout: 0 });
  try {
    assert.throws(
      () => {
        try {
          other.exec("BEGIN IMMEDIATE");
        } catch (error) {
          throw translate(error, "x");
        }
      },
      (error) => error instanceof ConflictError && error.code === "ERR_STORE_BUSY",
    );
  } finally {
    other.close();
    holder.close();
  }
});

test("importing the database module loads no native code", async () => {
  const url = new URL("../../../../src/meta/database.ts", import.meta.url).href;
  const script = `await import(${JSON.stringify(url)});
    const loaded = process.report.getReport().sharedObjects.filter((name) => name.endsWith(".node"));
    process.exit(loaded.length);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" });
  assert.deepEqual((await once(child, "exit"))[0], 0);
});
