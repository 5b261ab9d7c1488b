import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import { type BuildRequest, readBuildRequest } from '../build/build-options.ts';
import type { Flag, ParsedArgs } from '../flags/types.ts';
import type { CliContext } from '../types.ts';
import type { Config, GcLimits } from './config.ts';
import { type FlagValues, nearKey, overlay } from './config-values.ts';

/** One build of a command line, with what the config file says of it. */
export interface CommandBuild {
  /** Of the config file. */
  readonly name?: string;
  readonly args: ParsedArgs;
}

/** Variables that say what a flag says, and are stronger than the config file. */
const VARIABLES: Readonly<Record<string, string>> = {
  BUILDKIT_PROGRESS: 'progress',
  DOCKER_DEFAULT_PLATFORM: 'platform',
};

/**
 * The builds that a command line asks for: that of its context, or those of the config file that it names by `@NAME`.
 * Flags come before variables, variables before the config file.
 * @throws USAGE_INVALID
 */
export function commandBuilds(
  { flags, positional }: ParsedArgs,
  { config, env }: Pick<CliContext, 'config' | 'env'>,
): readonly CommandBuild[] {
  const isName = (word: string): boolean => word.startsWith('@');
  const names = [...new Set(positional.filter(isName))];
  const places = positional.filter((word) => !isName(word));
  const settle = (layers: readonly FlagValues[]): FlagValues =>
    overlay(withoutVariables([config?.defaults ?? new Map(), ...layers].reduce(overlay), env), flags);
  if (names.length === 0) return [{ args: { flags: settle([]), positional } }];
  if (names.length > 1 && places.length > 0) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot build ${names.join(' and ')} from "${places.join('", "')}": each has a context of its own`,
    );
  }
  return names.map((word) => {
    const name = word.slice(1);
    const build = buildNamed(name, config);
    return {
      name,
      args: { flags: settle(build.layers), positional: places.length > 0 ? places : [build.context] },
    };
  });
}

function buildNamed(
  name: string,
  config: Config | undefined,
): { context: string; layers: readonly FlagValues[] } {
  const build = config?.builds.get(name);
  if (build !== undefined) return build;
  const known = [...(config?.builds.keys() ?? [])];
  const near = nearKey(name, known);
  const [why, hint] =
    config?.path === undefined
      ? ['there is no config file here', `for a directory of that name: ./@${name}`]
      : [`"${config.path}" has no build of that name`, near ?? `it has ${known.join(', ') || 'none'}`];
  throw new OcibuildError('USAGE_INVALID', `Cannot build "@${name}": ${why}`, { hint });
}

/** `readBuildRequest` with what the config file says that is no flag. @throws USAGE_INVALID, USAGE_UNSUPPORTED */
export function configuredRequest(
  args: ParsedArgs,
  context: Pick<CliContext, 'config' | 'env'>,
): BuildRequest {
  const request = readRequest(args, context);
  const gc = context.config?.gc;
  if (gc === undefined) return request;
  return { ...request, options: { ...request.options, gc: gc === false ? gc : weakerThan(context.env, gc) } };
}

/** A value of the config file that its flag refuses was not typed by who reads the error. */
function readRequest(args: ParsedArgs, { config, env }: Pick<CliContext, 'config' | 'env'>): BuildRequest {
  try {
    return readBuildRequest(args, env);
  } catch (error) {
    if (!isOcibuildError(error) || config?.path === undefined) throw error;
    const name = /^Cannot \w+ --([\w-]+)/.exec(error.message)?.[1] ?? '';
    const layers = [config.defaults, ...[...config.builds.values()].flatMap((build) => build.layers)];
    const value = args.flags.get(name);
    if (value === undefined || !layers.some((layer) => layer.get(name) === value)) throw error;
    const { code, message, hint, details } = error;
    throw new OcibuildError(code, `${message}, in "${config.path}"`, {
      ...{ details, cause: error.cause },
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** Limits that no variable sets: `maxUsedSpace` is OCIBUILD_GC_MAX_USED_SPACE. */
function weakerThan(env: CliContext['env'], limits: GcLimits): GcLimits {
  const variable = (name: string): string =>
    `OCIBUILD_GC_${name.replace(/Ms$/, '').replace(/[A-Z]/g, '_$&').toUpperCase()}`;
  return Object.fromEntries(Object.entries(limits).filter(([name]) => !env[variable(name)]));
}

function withoutVariables(flags: FlagValues, env: CliContext['env']): FlagValues {
  const taken = Object.entries(VARIABLES).flatMap(([name, flag]) => (env[name] ? [flag] : []));
  return new Map([...flags].filter(([name]) => !taken.includes(name)));
}

/** The same for a command that takes one build, and only these flags of the config file. @throws USAGE_INVALID */
export function commandBuild(
  given: ParsedArgs,
  table: readonly Flag[],
  context: Pick<CliContext, 'config' | 'env'>,
): ParsedArgs {
  const [build, ...more] = commandBuilds(given, context);
  if (build === undefined || more.length > 0) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot take several builds at once: ${given.positional.join(', ')}`,
    );
  }
  const { flags, positional } = build.args;
  const isOwn = (name: string): boolean => given.flags.has(name) || table.some((flag) => flag.name === name);
  return { flags: new Map([...flags].filter(([name]) => isOwn(name))), positional };
}
