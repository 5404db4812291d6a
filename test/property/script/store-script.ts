/** The part of a script that shows what is wrong with a diff, or with an image that is made of one. */

import { fileURLToPath } from "node:url";
import { display } from "../../../src/paths.ts";
import type { Case } from "../generate/case.ts";
import { apply } from "../model/apply.ts";
import { changesBetween, merged } from "../model/layers.ts";
import type { Tree } from "../model/tree.ts";

const MAIN = fileURLToPath(new URL("../../../cli/main.ts", import.meta.url));

/** Images are named by \`localhost/case:NAME\`; all stacks have four layers, as in the property. */
const STORE = `
export SOURCE_DATE_EPOCH=32503680000
store=$work/store
layerctl() { verb=$1; shift; \${LAYERCTL:-${process.execPath} ${MAIN}} "$verb" --root "$store" -q "$@"; }
# image NAME TAR...: an image of some layers; the directories of these are printed, top first.
image() {
  rm -rf "$work/image"
  chains=$(python3 "$work/image.py" layout "$work/image" "localhost/case:$1" "\${@:2}") || exit 2
  layerctl import "$work/image" > "$work/imported" || exit 2
  for chain in $chains; do printf '%s:' "$store/layers/$chain/diff"; done
}
# shown NAME: the tree of an image.
shown() {
  layerctl mount "localhost/case:$1" "$work/merged" --ro --name "shown$1" --backend kernel > "$work/mounted" || exit 2
  tree "$work/merged"
  layerctl umount "shown$1"
}
for at in 0 1 2 3; do python3 "$work/image.py" layer "$work/lower$at" "$work/layer$at.tar"; done
`;

/** (4), and with `isCommitted` (5): the program runs in a snapshot of an image of the layers, mounted as the subject does. */
export function storeScript({ layers, program }: Case, isCommitted: boolean): string {
  const before = merged(layers);
  const after = program.reduce<Tree>((tree, step) => apply(tree, step).tree, before);
  const listing = changesBetween(before, after).map(
    ({ kind, path }) => `${kind} ${display(path === "" ? "/t" : `/t/${path}`)}`,
  );
  return `${STORE}
lowers=$(image base "$work"/layer[0-3].tar); lowers=\${lowers%:}
layerctl mount localhost/case:base "$work/merged" --name case > "$work/mounted"; layerctl umount case
upper=$store/snapshots/1/fs workdir=$store/snapshots/1/work
program "$work/plain" > "$work/expected"
mounting
program "$work/merged" > "$work/found"
unmounting
cat >> "$work/expected" <<'END'
${listing.map((line) => `${line}\n`).join("")}END
layerctl diff case | grep -a '^[ACD] /t' >> "$work/found"
layerctl diff case --tar "$work/change.tar"
image applied "$work"/layer[0-3].tar "$work/change.tar" > "$work/lowers"
tree "$work/plain" >> "$work/expected"
shown applied >> "$work/found"
${isCommitted ? COMMITTED : ""}`;
}

const COMMITTED = `digest=$(layerctl commit case localhost/case:committed)
echo "$digest" >> "$work/expected"; layerctl commit case localhost/case:committed >> "$work/found"
for format in oci-archive docker-archive; do
  for file in one two; do layerctl save localhost/case:committed -o "$work/$file" --format $format; done
  store=$work/store.$format
  layerctl import "$work/one" > "$work/imported"
  layerctl save localhost/case:committed -o "$work/three" --format $format
  tree "$work/plain" >> "$work/expected"; shown committed >> "$work/found"
  for file in two three; do
    echo "$format: the same bytes" >> "$work/expected"
    if cmp -s "$work/one" "$work/$file"; then echo "$format: the same bytes"; else echo "$format: other bytes"; fi >> "$work/found"
  done
  store=$work/store
done`;

/** (7) */
export function squashScript(): string {
  return `${STORE}
image base "$work/layer0.tar" > "$work/lowers"
image most "$work"/layer[0-2].tar > "$work/lowers"
layerctl diff localhost/case:base localhost/case:most --tar "$work/squashed.tar"
image squashed "$work/layer0.tar" "$work/squashed.tar" "$work/layer3.tar" > "$work/lowers"
tree "$work/plain" > "$work/expected"
shown squashed > "$work/found"`;
}
