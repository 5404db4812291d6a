/** The process of a container, by our own launcher or by the OCI runtime that was asked for. */

import { type LaunchOptions, launch, type Running } from "../../src/exec/launcher.ts";
import { runWithRuntime } from "../../src/exec/oci-runtime.ts";
import type { Container } from "./containers.ts";

/** It runs when this settles. @throws as `launch` and `runWithRuntime` */
export function startProcess(
  { spec, directory, options, userNamespace, connect }: Container,
  how: LaunchOptions,
): Promise<Running> {
  const { runtime } = options;
  const own = { ...how, ...(userNamespace !== null && { userNamespace }), ...(connect !== null && { connect }) };
  return runtime === undefined ? launch(spec, own) : runWithRuntime(runtime, spec, directory, how);
}
