/** What is to be done for a container's limits. */

/** Something that is set in the group of a controller. */
export type Step = {
  readonly controller: string;
  /** A limit of the user's, which must be set. Others are set where the host lets them be. */
  readonly isRequired: boolean;
} & (FileStep | ProgramStep);

/** A file to be written. */
export interface FileStep {
  readonly file: string;
  readonly value: string;
  /** What is written where the kernel has no such file. */
  readonly otherwise?: { readonly file: string; readonly value: string };
}

/** A device program to be attached. */
interface ProgramStep {
  readonly program: Buffer;
}

/** The step of a limit that the user asks for. */
export function required(controller: string, file: string, value: number | string): Step & FileStep {
  return { controller, file, value: String(value), isRequired: true };
}
