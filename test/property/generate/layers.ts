/** Stacks of layers in which the hard cases are likely: few names, so that they meet in all layers as all kinds of things. */

import fc from "fast-check";
import { canRestoreOwners } from "../../../src/privilege.ts";
import { type Entry, type Layer, layerOf } from "../model/layers.ts";
import { type Inode, inodeOf, type Path } from "../model/tree.ts";

/** Names that are prefixes of each other, that look like marks of layers, that are no text, that are as long as can be. */
const ODD_NAMES = ["ab", "a b", "a\n", ".wh.a", ".wh..wh..opq", "\xff\xfe", "n".repeat(255), "...", "-a"] as const;

export const anyName: fc.Arbitrary<string> = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("a", "b", "c") },
  { weight: 2, arbitrary: fc.constantFrom("ab", "a-b", "A") },
  { weight: 1, arbitrary: fc.constantFrom(...ODD_NAMES) },
);

export const anyPath: fc.Arbitrary<Path> = fc
  .oneof(
    { weight: 20, arbitrary: fc.array(anyName, { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.array(fc.constantFrom("a", "b"), { minLength: 4, maxLength: 9 }) },
  )
  .map((names) => names.join("/"));

const SIZES_OF_HOLES = [5000, 70_000] as const;

export const anyText: fc.Arbitrary<string> = fc.constantFrom("1", "22", "\0\xff", "four");

const anyContent: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: anyText },
  { weight: 1, arbitrary: fc.constant("") },
  { weight: 1, arbitrary: fc.constantFrom(...SIZES_OF_HOLES).map((size) => `${"\0".repeat(size)}end`) },
);

/** Where a symbolic link leads: to what may be there, up and down, never out of the tree. */
export const anyTarget: fc.Arbitrary<string> = fc.constantFrom("a", "b", "c", "a/b", "nothing");

export const anyTime: fc.Arbitrary<number> = fc.constantFrom(1_000_000_001, 86_400, 1_400_000_000);

/** Who may be given files to, and which attributes may be set, by the user that this process is. */
const isRoot = canRestoreOwners();
/** In a user namespace a write by its root takes setuid and setgid away, which the model, for the root of the host, does not. */
const SPECIAL_MODES = isRoot ? [0o4755, 0o2711, 0o2644] : [];
export const anyMode: fc.Arbitrary<number> = fc.constantFrom(0o644, 0o755, 0o600, ...SPECIAL_MODES, 0o1777, 0o000);
export const anyOwner: fc.Arbitrary<number> = isRoot ? fc.constantFrom(0, 1000, 70_000) : fc.constant(0);
export const anyXattrName: fc.Arbitrary<string> = isRoot
  ? fc.constantFrom("user.a", "user.b", "trusted.a", "user.overlay.a", "trusted.overlay.opaque", "trusted.overlay.a")
  : fc.constantFrom("user.a", "user.b");
export const anyXattrValue: fc.Arbitrary<string> = fc.constantFrom("1", "", "y", "\0\xff");

const someXattrs: fc.Arbitrary<Inode["xattrs"]> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.dictionary(fc.constantFrom(...(isRoot ? ["user.a", "trusted.a"] : ["user.a"])), anyXattrValue, {
      maxKeys: 2,
      noNullPrototype: true,
    }),
  },
);

/** Attributes other than those that everything has. */
const someAttributes = fc.record({ mode: anyMode, uid: anyOwner, gid: anyOwner, mtime: anyTime, xattrs: someXattrs });
const anyAttributes: fc.Arbitrary<Partial<Inode>> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: someAttributes },
);

const anyFile = fc
  .record({ content: anyContent, attributes: anyAttributes })
  .map(({ content, attributes }) => inodeOf("file", { ...attributes, content }));
const anyDirectory = anyAttributes.map((attributes) => inodeOf("directory", attributes));
const anySymlink = anyTarget.map((content) => inodeOf("symlink", { content }));

const anyLink = fc.nat({ max: 5 }).map((linkTo) => ({ linkTo }));

const anyEntry = (withLinks: boolean): fc.Arbitrary<Entry> =>
  fc.record({
    path: anyPath,
    what: fc.oneof<fc.MaybeWeightedArbitrary<Entry["what"]>[]>(
      { weight: 6, arbitrary: anyFile },
      { weight: 4, arbitrary: anyDirectory },
      { weight: 3, arbitrary: fc.constant("whiteout" as const) },
      { weight: 2, arbitrary: fc.constant("opaque" as const) },
      { weight: 2, arbitrary: anySymlink },
      ...(withLinks ? [{ weight: 4, arbitrary: anyLink }] : []),
      { weight: 1, arbitrary: fc.constant(inodeOf("fifo")) },
    ),
  });

/** The deepest stack; all cases that share a mount are padded to it. */
export const MOST_LAYERS = 4;

/** Base first. A file of several names in a layer has all unions keep books, so there are stacks without any too. */
export const anyStack = (withLinks: boolean): fc.Arbitrary<readonly Layer[]> =>
  fc.array(fc.array(anyEntry(withLinks), { maxLength: 9 }).map(layerOf), { minLength: 1, maxLength: MOST_LAYERS });
