/** What is to be written where for a container's limits. */

/** A file to be written in the group of a controller. */
export interface Step {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
  /** A limit of the user's, which must be set. Others are set where the host lets them be. */
  readonly isRequired: boolean;
  /** What is written where the kernel has no such file. */
  readonly otherwise?: { readonly file: string; readonly value: string };
}

/** The step of a limit that the user asks for. */
export function required(controller: string, file: string, value: number | string): Step {
  return { controller, file, value: String(value), isRequired: true };
}
