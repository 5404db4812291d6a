/** The steps from an empty database to this build's schema, in order. A step that was released never changes. */

import { firstSchema } from "./0001-first-schema.ts";
import { containers } from "./0002-containers.ts";
import { outOfMemory } from "./0003-out-of-memory.ts";
import { networks } from "./0004-networks.ts";
import { heldSnapshots } from "./0005-held-snapshots.ts";

/** `migrations[n]` brings a database with `user_version` n to n + 1. */
export const migrations: readonly string[] = [firstSchema, containers, outOfMemory, networks, heldSnapshots];
