/**
 * The overlayfs options that a user may set (`-o index=on,volatile`), and which of them exclude each other
 * (fs/overlayfs/params.c, `ovl_fs_params_verify`). The kernel answers a conflict with a bare EINVAL, so the words are here.
 */

import { UsageError } from "../errors.ts";

/** What is not set is left to the kernel's default. */
export interface OverlayOptions {
  readonly index?: boolean;
  readonly redirectDir?: "on" | "off" | "follow" | "nofollow";
  readonly metacopy?: boolean;
  readonly xino?: "on" | "off" | "auto";
  readonly volatile?: boolean;
  readonly userxattr?: boolean;
  readonly nfsExport?: boolean;
}

const ON_OFF = ["on", "off"] as const;
/** The kernel's name of each option and the values it takes; none for one that is just there. */
const OPTIONS = {
  index: ON_OFF,
  redirect_dir: ["on", "off", "follow", "nofollow"],
  metacopy: ON_OFF,
  xino: ["on", "off", "auto"],
  volatile: [],
  userxattr: [],
  nfs_export: ON_OFF,
} as const satisfies Record<string, readonly string[]>;
type OptionName = keyof typeof OPTIONS;

/**
 * Parses "index=on,volatile". "" is no options.
 * @throws {UsageError} `ERR_MOUNT_OPTION` for an unknown name or value, or one given twice
 */
export function parseOverlayOptions(text: string): OverlayOptions {
  const values = new Map<OptionName, string>();
  for (const part of text.split(",")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? null : part.slice(equals + 1);
    if (!isOptionName(name)) throw wrong(part, `it is not one of ${Object.keys(OPTIONS).join(", ")}`);
    if (values.has(name)) throw wrong(part, "it is given twice");
    values.set(name, checkedValue(name, value, part));
  }
  const isOn = (name: OptionName): boolean | undefined => (values.has(name) ? values.get(name) === "on" : undefined);
  const options: { [Key in keyof OverlayOptions]: OverlayOptions[Key] | undefined } = {
    index: isOn("index"),
    redirectDir: values.get("redirect_dir") as OverlayOptions["redirectDir"],
    metacopy: isOn("metacopy"),
    xino: values.get("xino") as OverlayOptions["xino"],
    volatile: isOn("volatile"),
    userxattr: isOn("userxattr"),
    nfsExport: isOn("nfs_export"),
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name);
}

function checkedValue(name: OptionName, value: string | null, part: string): string {
  const allowed: readonly string[] = OPTIONS[name];
  if (allowed.length === 0) {
    if (value !== null) throw wrong(part, "it takes no value");
    return "on";
  }
  if (value === null) throw wrong(part, `it needs a value, one of ${allowed.join(", ")}`);
  if (!allowed.includes(value)) throw wrong(part, `its value is not one of ${allowed.join(", ")}`);
  return value;
}

function wrong(part: string, why: string): UsageError {
  return new UsageError("ERR_MOUNT_OPTION", `Cannot use mount option "${part}": ${why}`, { data: { option: part } });
}

const INDEX_NEEDS_TRUSTED = "the index marks links and devices too, which take trusted attributes only";

/**
 * Returns if these options go together. The kernel itself takes an index with `userxattr`, fails to copy up a symbolic
 * link or device with several names, and then never mounts that workdir again.
 * @throws {UsageError} `ERR_MOUNT_OPTION_CONFLICT` with the two that exclude each other
 */
export function checkOverlayOptions(options: OverlayOptions, hasUpperdir: boolean): void {
  const { metacopy, redirectDir, userxattr, nfsExport, index } = options;
  if (userxattr && metacopy) throw conflict("userxattr", "metacopy=on", "metadata copies need trusted attributes");
  if (userxattr && redirectDir !== undefined && redirectDir !== "nofollow") {
    throw conflict("userxattr", `redirect_dir=${redirectDir}`, "redirects need trusted attributes");
  }
  if (userxattr && index) throw conflict("userxattr", "index=on", INDEX_NEEDS_TRUSTED);
  if (userxattr && nfsExport) throw conflict("userxattr", "nfs_export=on", INDEX_NEEDS_TRUSTED);
  if (metacopy && redirectDir !== undefined && redirectDir !== "on") {
    throw conflict("metacopy=on", `redirect_dir=${redirectDir}`, "a metadata copy that is renamed needs a redirect");
  }
  if (nfsExport && metacopy) throw conflict("nfs_export=on", "metacopy=on", "the kernel has not brought them together");
  if (nfsExport && index === false) throw conflict("nfs_export=on", "index=off", "file handles are kept in the index");
  if (hasUpperdir) return;
  if (options.volatile) throw conflict("volatile", "a read-only mount", "nothing is written that could be lost");
  if (index) throw conflict("index=on", "a read-only mount", "the index is kept in the workdir");
  if (nfsExport) throw conflict("nfs_export=on", "a read-only mount", "file handles are kept in the workdir");
}

function conflict(one: string, other: string, why: string): UsageError {
  return new UsageError("ERR_MOUNT_OPTION_CONFLICT", `Cannot mount with ${one} and ${other}: ${why}`, {
    data: { options: [one, other] },
  });
}

/** The options as the kernel spells them, in a fixed order; true for one without a value. */
export function kernelOptions(options: OverlayOptions): readonly (readonly [name: string, value: string | true])[] {
  const list: (readonly [string, string | true])[] = [];
  const onOff = (name: OptionName, value: boolean | undefined): void => {
    if (value !== undefined) list.push([name, value ? "on" : "off"]);
  };
  onOff("index", options.index);
  if (options.redirectDir !== undefined) list.push(["redirect_dir", options.redirectDir]);
  onOff("metacopy", options.metacopy);
  if (options.xino !== undefined) list.push(["xino", options.xino]);
  if (options.volatile) list.push(["volatile", true]);
  if (options.userxattr) list.push(["userxattr", true]);
  onOff("nfs_export", options.nfsExport);
  return list;
}

/** The options as text that `parseOverlayOptions` reads. */
export function formatOverlayOptions(options: OverlayOptions): string {
  return kernelOptions(options)
    .map(([name, value]) => (value === true ? name : `${name}=${value}`))
    .join(",");
}
