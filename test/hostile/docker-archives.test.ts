/** docker-archives that point out of themselves or contradict themselves. */

import {
  archiveOf,
  bytesOf,
  dockerFiles,
  type Files,
  type Json,
  type JsonObject,
  sha256,
} from "../helpers/image-builder.ts";
import { END, file, hardlink, symlink, tar } from "../helpers/tar-builder.ts";
import { type Hostile, refused } from "./refusal.ts";

const LAYER = tar(file("a", "x"));
const layerPath = (files: Files): string => [...files.keys()].find((path) => path.endsWith("/layer.tar")) ?? "";
const plain = (): Files => dockerFiles([{ layers: [LAYER] }]);
const listWith = (changes: JsonObject): Files =>
  dockerFiles([{ layers: [LAYER] }], (list) => list.map((entry) => ({ ...entry, ...changes })));
const list = (document: Json | Buffer): Files => dockerFiles([{ layers: [LAYER] }], () => document);
const linked = (target: string): Files => plain().set(layerPath(plain()), { symlink: target });

const REFUSED: readonly Hostile[] = [
  {
    name: "a layer path that leaves the archive is refused",
    source: ({ outside }) => listWith({ Layers: [`../../../../../..${outside}/passwd`] }),
    says: /passwd/,
  },
  {
    name: "an absolute layer path is refused",
    source: ({ outside }) => listWith({ Layers: [`${outside}/passwd`] }),
    says: /passwd/,
  },
  {
    name: "an absolute config path is refused",
    source: ({ outside }) => listWith({ Config: `${outside}/passwd` }),
    says: /passwd/,
  },
  {
    name: "a layer that is a symlink out of the archive is refused",
    source: ({ outside }) => linked(`../../../../../../../..${outside}/passwd`),
    says: /layer\.tar|passwd/,
  },
  {
    name: "a layer that is an absolute symlink is refused",
    source: ({ outside }) => linked(`${outside}/passwd`),
    says: /layer\.tar|passwd/,
  },
  { name: "a layer that is a symlink to itself is refused", source: () => linked("layer.tar"), says: /layer\.tar/ },
  {
    name: "a layer that is a symlink to nothing is refused",
    source: () => linked("../missing/layer.tar"),
    says: /layer\.tar|missing/,
  },
  {
    name: "a config that is a symlink out of the archive is refused",
    source: ({ outside }) =>
      plain()
        .set("manifest.json", bytesOf([{ Config: "c.json", RepoTags: null, Layers: [layerPath(plain())] }]))
        .set("c.json", { symlink: `${outside}/passwd` }),
    says: /c\.json|passwd/,
  },
  {
    name: "a layer that is not there is refused",
    source: () => listWith({ Layers: ["missing/layer.tar"] }),
    says: /missing\/layer\.tar/,
  },
  {
    name: "a config that is not there is refused",
    source: () => listWith({ Config: "missing.json" }),
    says: /missing\.json/,
  },
  {
    name: "a config under the name of another digest is refused",
    source: () => {
      const files = plain();
      const config = [...files.keys()].find((path) => /^[0-9a-f]{64}\.json$/.test(path)) ?? "";
      return files
        .set(`${sha256("x").slice(7)}.json`, files.get(config) ?? Buffer.alloc(0))
        .set(
          "manifest.json",
          bytesOf([{ Config: `${sha256("x").slice(7)}.json`, RepoTags: null, Layers: [layerPath(files)] }]),
        );
    },
    says: /config|digest|sha256/i,
  },
  {
    name: "more layers than diffIDs are refused",
    source: () => listWith({ Layers: [layerPath(plain()), layerPath(plain())] }),
    says: /diff_ids|diffID|layers/i,
  },
  {
    name: "fewer layers than diffIDs are refused",
    source: () => listWith({ Layers: [] }),
    says: /diff_ids|diffID|layers/i,
  },
  {
    name: "a layer other than its diffID says is refused",
    source: () => plain().set(layerPath(plain()), tar(file("b", "y"))),
    says: /diffID|sha256:/i,
  },
  { name: "a manifest.json that is an object is refused", source: () => list({ Config: "x" }), says: /manifest\.json/ },
  { name: "a manifest.json that is empty is refused", source: () => list([]), says: /manifest\.json|image/ },
  {
    name: "a manifest.json that is not JSON is refused",
    source: () => list(Buffer.from("[{")),
    says: /manifest\.json/,
  },
  {
    name: "a manifest.json of 200,000 nested lists is refused",
    source: () => list(Buffer.from("[".repeat(200_000) + "]".repeat(200_000))),
    says: /manifest\.json/,
  },
  { name: "layers that are numbers are refused", source: () => listWith({ Layers: [1] }), says: /Layers/ },
  {
    name: "a tag with bad characters is refused",
    source: () => listWith({ RepoTags: ["../../evil:latest"] }),
    says: /evil/,
  },
  { name: "tags that are a string are refused", source: () => listWith({ RepoTags: "evil" }), says: /RepoTags/ },
  {
    name: "a member that leaves the archive is refused",
    source: ({ outside }) => withMember(file(`../../..${outside}/evil`, "x")),
    says: /evil/,
  },
  {
    name: "a hard link out of the archive as a layer is refused",
    source: ({ outside }) => {
      const files = plain();
      const path = layerPath(files);
      files.delete(path);
      return Buffer.concat([archiveOf(files).subarray(0, -END.length), tar(hardlink(path, `${outside}/passwd`))]);
    },
    says: /layer\.tar|passwd/,
  },
  {
    name: "a second manifest.json is refused",
    source: () => withMember(file("manifest.json", "[]")),
    says: /manifest\.json/,
  },
  {
    name: "a manifest.json that is a symlink out of the archive is refused",
    source: ({ outside }) => {
      const files = plain();
      files.delete("manifest.json");
      return Buffer.concat([
        archiveOf(files).subarray(0, -END.length),
        tar(symlink("manifest.json", `${outside}/passwd`)),
      ]);
    },
    says: /manifest\.json|source/,
  },
];

/** The plain archive with one more member at its end. */
function withMember(member: Buffer): Buffer {
  return Buffer.concat([archiveOf(plain()).subarray(0, -END.length), tar(member)]);
}

for (const fixture of REFUSED) refused(fixture);
