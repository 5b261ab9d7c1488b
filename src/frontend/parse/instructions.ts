import type { Healthcheck } from '../../image/types.ts';
import type { ExecDevice } from '../../llb/ops.ts';
import type { RawInstruction } from './parser.ts';
import type { ResetName } from './reset.ts';
import type { RunMount } from './run-mount.ts';

/** What all instructions have: where they come from. */
interface Common {
  readonly raw: RawInstruction;
  /** Fired by a base image or stage. */
  readonly trigger?: boolean;
}

export interface Pair {
  readonly key: string;
  readonly value: string;
}

export interface FromInstruction extends Common {
  readonly kind: 'FROM';
  readonly base: string;
  readonly platform?: string;
  /** `--reset`: what of the base's config is dropped. */
  readonly reset?: readonly ResetName[];
  /** Lower case. */
  readonly name?: string;
  /** `AS` and the name, as written. */
  readonly written?: { readonly as: string; readonly name: string };
}

export interface ArgInstruction extends Common {
  readonly kind: 'ARG';
  readonly args: readonly { readonly key: string; readonly value?: string }[];
}

export interface PairsInstruction extends Common {
  readonly kind: 'ENV' | 'LABEL';
  readonly pairs: readonly Pair[];
}

/** Instructions with one text. */
export interface TextInstruction extends Common {
  readonly kind: 'WORKDIR' | 'USER' | 'STOPSIGNAL' | 'MAINTAINER';
  readonly text: string;
}

export interface ListInstruction extends Common {
  readonly kind: 'EXPOSE' | 'VOLUME' | 'SHELL';
  readonly items: readonly string[];
}

/** `args` of the shell form are one text. */
export interface CommandInstruction extends Common {
  readonly kind: 'CMD' | 'ENTRYPOINT';
  readonly args: readonly string[];
  readonly shell: boolean;
}

export interface RunInstruction extends Common {
  readonly kind: 'RUN';
  readonly args: readonly string[];
  readonly shell: boolean;
  readonly network?: 'default' | 'none' | 'host';
  readonly security?: 'sandbox' | 'insecure';
  readonly devices: readonly ExecDevice[];
  readonly mounts: readonly RunMount[];
}

export interface HealthcheckInstruction extends Common {
  readonly kind: 'HEALTHCHECK';
  readonly check: Healthcheck;
}

export interface OnbuildInstruction extends Common {
  readonly kind: 'ONBUILD';
  /** The trigger as it goes into the config, here-documents included. */
  readonly text: string;
}

export interface CopyInstruction extends Common {
  readonly kind: 'COPY' | 'ADD';
  readonly from?: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly link: boolean;
  readonly parents?: boolean;
  /** Patterns as written; variables are not expanded in them. */
  readonly exclude?: readonly string[];
  readonly ifExists?: boolean;
  readonly checksum?: string;
  /** Undefined where the flag is not there: archives are unpacked, downloads are not. */
  readonly unpack?: boolean;
  readonly keepGitDir?: boolean;
  /** Without here-documents. */
  readonly sources: readonly string[];
  readonly dest: string;
}

export type Instruction =
  | FromInstruction
  | ArgInstruction
  | PairsInstruction
  | TextInstruction
  | ListInstruction
  | CommandInstruction
  | RunInstruction
  | HealthcheckInstruction
  | OnbuildInstruction
  | CopyInstruction;
