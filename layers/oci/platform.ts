/** Platforms, their spellings and which one runs another's images (containerd/platforms, which docker uses). */

import { endianness } from "node:os";
import { UsageError } from "../../src/errors.ts";
import type { Platform } from "./descriptor.ts";

/** The other spellings of an architecture, with the variant that each implies. */
const ALIASES: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ["amd64"],
  "x86-64": ["amd64"],
  i386: ["386"],
  i686: ["386"],
  aarch64: ["arm64"],
  armhf: ["arm", "v7"],
  armel: ["arm", "v6"],
};

/** Node's names that are not Go's. */
const NODE_ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  ppc64: endianness() === "LE" ? "ppc64le" : "ppc64",
  mipsel: "mipsle",
};

/**
 * Parses "os/arch" or "os/arch/variant".
 * @throws {UsageError} `ERR_PLATFORM_FORMAT`
 */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  const [os, architecture, variant] = parts;
  const wellFormed = parts.length <= 3 && parts.every((part) => /^[a-z0-9][a-z0-9_.-]{0,63}$/.test(part));
  if (!wellFormed || os === undefined || architecture === undefined) {
    const shown = JSON.stringify(text.slice(0, 200));
    throw new UsageError(
      "ERR_PLATFORM_FORMAT",
      `Cannot use platform ${shown}: expected OS/ARCH or OS/ARCH/VARIANT, as in linux/amd64 or linux/arm/v7`,
    );
  }
  return normalizePlatform(variant === undefined ? { os, architecture } : { os, architecture, variant });
}

/** "linux/arm/v7". */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** The platform of this machine. */
export function hostPlatform(): Platform {
  const architecture = NODE_ARCHITECTURES[process.arch] ?? process.arch;
  return normalizePlatform({ os: process.platform, architecture });
}

/** One spelling for what is the same: no variant for arm64 v8 and amd64 v1, "v7" for arm without one. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const named = platform.architecture.toLowerCase();
  const alias = Object.hasOwn(ALIASES, named) ? ALIASES[named] : undefined;
  const architecture = alias?.[0] ?? named;
  const given = (platform.variant ?? "").toLowerCase() || alias?.[1];
  const variant = given !== undefined && /^\d+$/.test(given) ? `v${given}` : given;
  if (architecture === "arm") return { os, architecture, variant: variant ?? "v7" };
  const isBase = (architecture === "arm64" && variant === "v8") || (architecture === "amd64" && variant === "v1");
  return variant === undefined || isBase ? { os, architecture } : { os, architecture, variant };
}

/**
 * How well an image for `offered` suits a machine `wanted`: 0 is exact, more is worse, null is not at all.
 * arm takes lower variants, arm64 then 32-bit arm, amd64 lower levels and then 386.
 */
export function platformRank(wanted: Platform, offered: Platform): number | null {
  const target = formatPlatform(normalizePlatform(offered));
  const rank = runnable(normalizePlatform(wanted)).indexOf(target);
  return rank < 0 ? null : rank;
}

/** The platforms whose images run on `platform`, best first. */
function runnable({ os, architecture, variant }: Platform): readonly string[] {
  const level = Number(/^v(\d)$/.exec(variant ?? "")?.[1] ?? 0);
  const down = (from: number, to: number, arch: string): string[] =>
    Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => `${os}/${arch}/v${from - i}`);
  const self = formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
  switch (architecture) {
    case "arm":
      return [self, ...down(level - 1, 5, "arm")];
    case "arm64":
      return [self, ...(variant === undefined ? [] : [`${os}/arm64`]), ...down(8, 5, "arm")];
    case "amd64":
      return [self, ...down(level - 1, 2, "amd64"), ...(variant === undefined ? [] : [`${os}/amd64`]), `${os}/386`];
    default:
      return variant === undefined ? [self] : [self, `${os}/${architecture}`];
  }
}
