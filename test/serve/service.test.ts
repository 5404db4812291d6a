/**
 * containerd's snapshots service, asked directly: what each method answers and with which status it refuses
 * (core/snapshots/snapshotter.go has the contract). What mounted snapshots show is in test/interop/snapshot-contract.test.ts.
 */

import assert from "node:assert/strict";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { requires } from "../helpers/requires.ts";
import { oneServedStore, servedStore } from "../helpers/served-store.ts";
import { failsWith, timeUs } from "../helpers/snapshots-client.ts";

const skip = requires("root", "overlay");
const there = await oneServedStore(skip);

test("an active snapshot is committed under another name, and the next one stands on it", { skip }, async () => {
  const { client } = there();
  const before = Date.now() * 1000;
  const [mount, ...others] = await client.prepare("basic-a");
  assert.deepEqual([mount?.type, mount?.options, others], ["bind", ["rw", "rbind"], []]);
  const active = await client.stat("basic-a");
  assert.deepEqual([active.name, active.parent, active.kind, active.labels], ["basic-a", "", "ACTIVE", {}]);
  assert.deepEqual(active.createdAt, active.updatedAt);
  assert.ok(timeUs(active.createdAt) >= before && timeUs(active.createdAt) <= Date.now() * 1000 + 1000);
  await client.commit("basic-1", "basic-a", { l: "1" });
  await assert.rejects(client.stat("basic-a"), failsWith("NOT_FOUND", /there is none/));
  const committed = await client.stat("basic-1");
  assert.deepEqual([committed.kind, committed.parent, committed.labels], ["COMMITTED", "", { l: "1" }]);
  assert.ok(timeUs(committed.createdAt) > timeUs(active.createdAt), "a committed snapshot is new");

  const [overlay] = await client.prepare("basic-b", "basic-1");
  assert.equal(overlay?.type, "overlay");
  assert.deepEqual(
    overlay.options.map((option) => option.replace(/=.*/, "")).filter((name) => name !== "index"),
    ["workdir", "upperdir", "lowerdir", "redirect_dir"],
  );
  assert.deepEqual(await client.mounts("basic-b"), [overlay]);
  await client.commit("basic-2", "basic-b");
  assert.equal((await client.stat("basic-2")).parent, "basic-1");
  const [view] = await client.view("basic-v", "basic-1");
  assert.deepEqual([view?.type, view?.options], ["bind", ["ro", "rbind"]]);
  const [two] = await client.view("basic-w", "basic-2");
  assert.match(two?.options.join(" ") ?? "", /^lowerdir=\S+\/fs:\S+\/fs /);
  for (const name of ["basic-w", "basic-v", "basic-2", "basic-1"]) await client.remove(name);
});

test("du tells what is held beside layers", { skip }, async () => {
  await using served = await servedStore();
  const { client, ok } = served;
  const [mount] = await client.prepare("du-a");
  writeFileSync(join(mount?.source ?? "", "file"), "12345");
  await client.commit("du-1", "du-a");
  await client.view("du-v", "du-1");
  assert.deepEqual(JSON.parse(ok("du", "--json")).held, [{ holder: "containerd", snapshots: 2, bytes: 5, inodes: 2 }]);
  assert.match(ok("du"), /^HELD BY +SNAPSHOTS +SIZE +FILES\ncontainerd +2 +5 B +2$/m);
});

test("labels of the active snapshot are not those of the committed one", { skip }, async () => {
  const { client } = there();
  await client.prepare("inherit-a", "", { "containerd.io/snapshot/x": "1", own: "2" });
  await client.commit("inherit", "inherit-a", { other: "3" });
  assert.deepEqual((await client.stat("inherit")).labels, { other: "3" });
});

test("a key that is taken is ALREADY_EXISTS, whatever it is taken by", { skip }, async () => {
  const { client } = there();
  await client.prepare("taken-a");
  await client.commit("taken", "taken-a");
  for (const make of [client.prepare.bind(client), client.view.bind(client)]) {
    await assert.rejects(make("taken"), failsWith("ALREADY_EXISTS"));
    await make("taken-again", "taken");
    await assert.rejects(client.prepare("taken-again", "taken"), failsWith("ALREADY_EXISTS"));
    await assert.rejects(client.view("taken-again", "taken"), failsWith("ALREADY_EXISTS"));
    await client.remove("taken-again");
  }
  await client.prepare("taken-b");
  await assert.rejects(client.commit("taken", "taken-b"), failsWith("ALREADY_EXISTS"));
  assert.equal((await client.stat("taken-b")).kind, "ACTIVE", "a commit that is refused changes nothing");
});

test("a parent that is not there is NOT_FOUND, one that is not committed INVALID_ARGUMENT", { skip }, async () => {
  const { client } = there();
  await client.prepare("no-parent");
  await client.view("no-parent-v");
  for (const make of [client.prepare.bind(client), client.view.bind(client)]) {
    await assert.rejects(make("x", "nowhere"), failsWith("NOT_FOUND"));
    await assert.rejects(make("x", "no-parent"), failsWith("INVALID_ARGUMENT", /not committed/));
    await assert.rejects(make("x", "no-parent-v"), failsWith("INVALID_ARGUMENT", /not committed/));
  }
  await assert.rejects(client.stat("x"), failsWith("NOT_FOUND"));
});

test("only what is active can be committed, only what is not committed mounted", { skip }, async () => {
  const { client } = there();
  await client.prepare("kind-a");
  await client.commit("kind", "kind-a");
  await client.view("kind-v", "kind");
  await assert.rejects(client.commit("kind-2", "kind-v"), failsWith("FAILED_PRECONDITION", /view/));
  await assert.rejects(client.commit("kind-2", "kind"), failsWith("FAILED_PRECONDITION", /committed/));
  await assert.rejects(client.mounts("kind"), failsWith("FAILED_PRECONDITION"));
  const calls = [
    () => client.commit("kind-2", "nowhere"),
    () => client.mounts("nowhere"),
    () => client.remove("nowhere"),
    () => client.usage("nowhere"),
    () => client.update({ name: "nowhere" }),
  ];
  for (const call of calls) await assert.rejects(call, failsWith("NOT_FOUND"));
});

test("a commit may bring a parent to what has none, and no other to what has one", { skip }, async () => {
  const { client } = there();
  await client.prepare("rebase-a");
  await client.commit("rebase-1", "rebase-a");
  await client.prepare("rebase-b");
  await assert.rejects(client.commit("rebase-2", "rebase-b", {}, "nowhere"), failsWith("NOT_FOUND"));
  await client.prepare("rebase-c", "rebase-1");
  await assert.rejects(client.commit("rebase-2", "rebase-b", {}, "rebase-c"), failsWith("FAILED_PRECONDITION"));
  await client.commit("rebase-2", "rebase-b", {}, "rebase-1");
  assert.equal((await client.stat("rebase-2")).parent, "rebase-1");
  await assert.rejects(client.commit("rebase-3", "rebase-c", {}, "rebase-2"), failsWith("INVALID_ARGUMENT"));
  await client.commit("rebase-3", "rebase-c", {}, "rebase-1");
  await assert.rejects(client.remove("rebase-1"), failsWith("FAILED_PRECONDITION", /remove/));
});

test("what others stand on stays, a removed key is free at once and its space soon", { skip }, async () => {
  const { client, root } = there();
  await client.prepare("gone-a");
  await client.commit("gone", "gone-a");
  const [mount] = await client.prepare("gone-b", "gone");
  await assert.rejects(client.remove("gone"), failsWith("FAILED_PRECONDITION", /remove/));
  const upperdir = mount?.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length) ?? "";
  assert.ok(existsSync(upperdir));
  await client.remove("gone-b");
  assert.ok(!existsSync(upperdir), "its directory has gone when Remove answers");
  await client.view("gone-b", "gone");
  await client.remove("gone-b");
  await client.prepare("gone-b");
  await client.remove("gone");
  await client.commit("gone", "gone-b");
  mkdirSync(join(root, "held", "999999"));
  await client.cleanup();
  assert.ok(!existsSync(join(root, "held", "999999")), "Cleanup takes what no snapshot has");
  const left = readdirSync(join(root, "tmp")).flatMap((name) => readdirSync(join(root, "tmp", name)));
  assert.deepEqual(left, [], "and the last of what was removed");
});

test("the labels of a user namespace make options of a mount, by real paths, and the upperdir its root's", {
  skip,
}, async () => {
  await using served = await servedStore("--remap-ids");
  const { client, root } = served;
  const labels = {
    "containerd.io/snapshot/uidmapping": "0:100000:1,1:200000:65535",
    "containerd.io/snapshot/gidmapping": "0:300000:65536",
  };
  const words = ["uidmap=0:100000:1,1:200000:65535", "gidmap=0:300000:65536"];
  const [first] = await client.prepare("ids-a", "", labels);
  assert.deepEqual(first?.options, [...words, "rw", "rbind"]);
  assert.deepEqual(ownerOf(first?.source ?? ""), [0, 0], "a bind is mapped whole");
  chownSync(first?.source ?? "", 7, 8);
  await client.commit("ids-1", "ids-a");
  const { source } = (await client.view("ids-w", "ids-1"))[0] ?? { source: "" };
  renameSync(source, join(root, "layers", "elsewhere")); // as a layer that the store has
  symlinkSync("../../layers/elsewhere", source);
  const [view] = await client.view("ids-v", "ids-1", labels);
  const real = join(root, "layers", "elsewhere");
  assert.deepEqual([view?.source, view?.options], [real, [...words, "ro", "rbind"]]);
  const [overlay] = await client.prepare("ids-b", "ids-1", labels);
  assert.deepEqual(overlay?.options.slice(0, 2), words);
  assert.ok(overlay.options.includes(`lowerdir=${real}`), "a link would lead astray from where containerd maps it");
  const upperdir = overlay.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length) ?? "";
  assert.deepEqual(ownerOf(upperdir), [200006, 300008]);
  assert.deepEqual(await client.mounts("ids-b"), [overlay]);

  for (const uids of ["x", "1:100000:5", "0:0:4294967295,0:5:1"]) {
    const bad = client.prepare("ids-d", "", { ...labels, "containerd.io/snapshot/uidmapping": uids });
    await assert.rejects(bad, failsWith("INVALID_ARGUMENT", /id mapping/), uids);
  }
  const half = client.prepare("ids-d", "", { "containerd.io/snapshot/gidmapping": "0:1:1" });
  await assert.rejects(half, failsWith("INVALID_ARGUMENT", /both labels/));
  const [plain] = await there().client.prepare("ids-e", "", labels);
  assert.deepEqual(plain?.options, ["rw", "rbind"], "who is not told to leaves it to the client");
});

function ownerOf(path: string): readonly number[] {
  const { uid, gid } = statSync(path);
  return [uid, gid];
}

test("labels change and nothing else; an empty value removes one", { skip }, async () => {
  const { client } = there();
  await client.prepare("update", "", { a: "1", b: "2" });
  const made = await client.stat("update");
  const all = await client.update({ ...made, parent: "nowhere", kind: "VIEW", labels: { c: "3", d: "4" } });
  assert.deepEqual([all.parent, all.kind, all.labels], ["", "ACTIVE", { c: "3", d: "4" }]);
  assert.deepEqual(all.createdAt, made.createdAt);
  assert.ok(timeUs(all.updatedAt) > timeUs(made.updatedAt));
  const one = await client.update(
    { name: "update", labels: { c: "33", x: "9" } },
    "labels.c",
    "labels.d",
    "labels.new",
  );
  assert.deepEqual(one.labels, { c: "33" });
  assert.deepEqual((await client.update({ name: "update", labels: { a: "b" } }, "labels")).labels, { a: "b" });
  for (const path of ["parent", "kind", "name", "created_at", "label", ""]) {
    await assert.rejects(client.update({ name: "update" }, path), failsWith("INVALID_ARGUMENT"));
  }
  assert.deepEqual((await client.stat("update")).labels, { a: "b" });
});

test("keys and labels have bounds", { skip }, async () => {
  const { client } = there();
  await client.prepare("k".repeat(4096), "", { l: "v".repeat(4095) });
  assert.equal((await client.stat("k".repeat(4096))).labels.l?.length, 4095);
  for (const key of ["", "k".repeat(4097), "a\0b"]) {
    await assert.rejects(client.prepare(key), failsWith("INVALID_ARGUMENT", /key has/));
  }
  await assert.rejects(client.prepare("big", "", { l: "v".repeat(4096) }), failsWith("INVALID_ARGUMENT", /label/));
  await assert.rejects(client.update({ name: "k".repeat(4096), labels: { "": "x" } }), failsWith("INVALID_ARGUMENT"));
  const key = "ünïcode / 漢字 % \" '";
  await client.prepare(key, "", { "ä.b/c": "ö=," });
  assert.deepEqual((await client.stat(key)).labels, { "ä.b/c": "ö=," });
  assert.deepEqual(
    (await client.list(`labels."ä.b/c"=="ö=,"`)).infos.map(({ name }) => name),
    [key],
  );
});

test("usage is of the snapshot alone", { skip }, async () => {
  const { client } = there();
  const [mount] = await client.prepare("usage-a");
  writeFileSync(join(mount?.source ?? "", "f"), Buffer.alloc(1 << 20, 1));
  const active = await client.usage("usage-a");
  assert.ok(active.size >= 1 << 20 && active.inodes === 2, JSON.stringify(active));
  await client.commit("usage", "usage-a");
  assert.deepEqual(await client.usage("usage"), active);
  await client.prepare("usage-b", "usage");
  const { size, inodes } = await client.usage("usage-b");
  assert.ok(size < 1 << 16 && inodes === 1);
  await client.view("usage-v", "usage");
  assert.deepEqual(await client.usage("usage-v"), { size: 0, inodes: 0 });
});

test("List takes containerd's filters and streams in blocks", { skip }, async () => {
  const { client } = there();
  await client.prepare("walk-p-a", "", {});
  await client.commit("walk-p", "walk-p-a", { w: "p" });
  await Promise.all(
    Array.from({ length: 250 }, (_, index) => client.prepare(`walk-${index}`, "walk-p", { w: String(index) })),
  );
  await client.view("walk-v", "walk-p", { w: "v", "a.b/c": "x", "0.x": "y" });
  const all = await client.list();
  assert.ok(all.messages >= 3 && all.infos.length >= 252);
  const names = async (...filters: readonly string[]): Promise<readonly string[]> =>
    (await client.list(...filters)).infos.map(({ name }) => name);
  assert.equal((await names("parent==walk-p")).length, 251);
  assert.deepEqual(await names("kind==view,parent==walk-p"), ["walk-v"]);
  assert.deepEqual(await names("name==walk-7", "name==walk-p"), ["walk-7", "walk-p"]);
  assert.deepEqual(await names('labels."a.b/c"==x'), ["walk-v"]);
  assert.deepEqual(await names('labels."a.b/c"'), ["walk-v"]);
  assert.deepEqual(await names("labels.0.x==y"), ["walk-v"]);
  assert.deepEqual(
    await names("labels.w~=^24,kind!=view"),
    [24, 240, 241, 242, 243, 244, 245, 246, 247, 248, 249].map((n) => `walk-${n}`),
  );
  assert.deepEqual(await names('parent=="",labels.w'), ["walk-p"]);
  assert.deepEqual(await names("parent==nowhere"), []);
  assert.equal((await names("")).length, all.infos.length);
  for (const filter of [
    "name=",
    "name===x",
    "=x",
    "name==x name==y",
    'name=="x',
    "labels.w~=(",
    ",name==x",
    "name==x,",
  ]) {
    await assert.rejects(names(filter), failsWith("INVALID_ARGUMENT", /filter/), filter);
  }
  assert.deepEqual(await names(`labels.w~=^(([0-9])+)+$,name==walk-1`), ["walk-1"]);
});

test("50 clients prepare and remove at the same time", { skip }, async () => {
  const { client } = there();
  await client.prepare("many-a");
  await client.commit("many", "many-a");
  const outcomes = await Promise.allSettled(
    Array.from({ length: 50 }, async (_, index) => {
      await client.prepare(`many-${index % 40}`, "many");
      await client.stat(`many-${index % 40}`);
    }),
  );
  assert.equal(outcomes.filter(({ status }) => status === "rejected").length, 10, "ten keys are asked for twice");
  await Promise.all(Array.from({ length: 40 }, (_, index) => client.remove(`many-${index}`)));
  await client.remove("many");
  assert.deepEqual((await client.list("name~=^many")).infos, []);
});
