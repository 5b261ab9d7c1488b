import { didYouMean } from '../../errors/suggest.ts';
import type { ContainerConfig, ImageConfig } from '../../image/types.ts';
import { flagError } from './flags.ts';
import type { RawInstruction } from './parser.ts';

/** What `FROM --reset` can take away. */
export type ResetName =
  | 'author'
  | 'cmd'
  | 'entrypoint'
  | 'env'
  | 'healthcheck'
  | 'labels'
  | 'onbuild'
  | 'ports'
  | 'shell'
  | 'stopsignal'
  | 'user'
  | 'volumes'
  | 'workdir';

/** The fields of the config that each name stands for; the author is no part of it. */
const FIELDS: Readonly<Record<ResetName, readonly string[]>> = {
  author: [],
  cmd: ['Cmd', 'ArgsEscaped'],
  entrypoint: ['Entrypoint'],
  env: ['Env'],
  healthcheck: ['Healthcheck'],
  labels: ['Labels'],
  onbuild: ['OnBuild'],
  ports: ['ExposedPorts'],
  shell: ['Shell'],
  stopsignal: ['StopSignal'],
  user: ['User'],
  volumes: ['Volumes'],
  workdir: ['WorkingDir'],
};

const NAMES = Object.keys(FIELDS) as ResetName[];

/**
 * The names of `--reset=NAME,…`, each once, in alphabetical order; the bare flag means all.
 * @throws DOCKERFILE_FLAG_INVALID
 */
export function parseReset(raw: RawInstruction, value: string | undefined): readonly ResetName[] {
  if (value === undefined || value === 'true') return NAMES;
  const given = value.split(',').map((name) => name.trim().toLowerCase());
  for (const name of given) {
    if (NAMES.some((known) => known === name)) continue;
    const flag = raw.flags.find((each) => each.name === 'reset') ?? raw;
    const message = `Cannot reset "${name}" of a base image: it can be ${NAMES.join(', ')}`;
    throw flagError(raw, flag, message, didYouMean(name, NAMES));
  }
  return NAMES.filter((name) => given.includes(name));
}

/** The line of the history that tells of a reset. */
export function resetText(names: readonly ResetName[]): string {
  return names.length === NAMES.length ? 'FROM --reset' : `FROM --reset=${names.join(',')}`;
}

/** A base's config without what was named. A working directory is always there: `/` is what scratch has. */
export function resetConfig(config: ContainerConfig, names: readonly ResetName[]): ContainerConfig {
  const gone: readonly string[] = names.flatMap((name) => FIELDS[name]);
  const kept = Object.fromEntries(Object.entries(config).filter(([field]) => !gone.includes(field)));
  return names.includes('workdir') ? { ...kept, WorkingDir: '/' } : kept;
}

export function resetImage(image: ImageConfig, names: readonly ResetName[]): ImageConfig {
  if (!names.includes('author')) return image;
  const { author: _gone, ...kept } = image;
  return kept;
}
