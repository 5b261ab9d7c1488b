import { isOcibuildError, OcibuildError } from '../../errors/error.ts';
import type { GitSource, HttpSource } from '../../llb/ops.ts';
import type { EpochSource, FrontendContext, FrontendResult } from '../types.ts';
import { convertDockerfile } from './convert.ts';
import { findContext } from './stages.ts';

/**
 * Says what gives the time of a SOURCE_DATE_EPOCH that is no number: `context`, the name of a named context, or the
 * name of a stage that is `FROM scratch` and one ADD of a URL or of a git repository.
 * @throws DOCKERFILE_STAGE_INVALID, and what convertDockerfile throws
 */
export async function findEpochSource(context: FrontendContext, name: string): Promise<EpochSource> {
  if (name === 'context') return { kind: 'context' };
  const named = findContext(context, name, context.targetPlatform);
  if (named?.kind === 'local') return { kind: 'local' };
  if (named?.kind === 'remote') {
    const source = context.remoteContexts?.[named.name];
    if (source !== undefined) return { kind: 'remote', source };
  }
  if (named?.kind === 'image') {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use SOURCE_DATE_EPOCH "${name}": this context is an image, and images give no time`,
    );
  }
  const source = remoteOfStage(await convertStage(context, name));
  if (source !== undefined) return { kind: 'remote', source };
  throw new OcibuildError('DOCKERFILE_STAGE_INVALID', `Cannot take SOURCE_DATE_EPOCH from stage "${name}"`, {
    hint: 'the stage must be "FROM scratch" with a single ADD of a URL or git repository',
  });
}

async function convertStage(context: FrontendContext, name: string): Promise<FrontendResult> {
  const { sourceDateEpoch: _unknown, ...rest } = context;
  try {
    return await convertDockerfile({ ...rest, target: name, lint: 'off' });
  } catch (error) {
    if (!isOcibuildError(error) || error.code !== 'DOCKERFILE_STAGE_NOT_FOUND') throw error;
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use SOURCE_DATE_EPOCH "${name}": it is no number of seconds since 1970, and no context or stage has this name`,
      { ...(error.hint === undefined ? {} : { hint: error.hint }), cause: error },
    );
  }
}

/** The one remote source of a graph that is nothing but a copy of it onto scratch. */
function remoteOfStage({ definition, target }: FrontendResult): GitSource | HttpSource | undefined {
  const copy = target === undefined ? undefined : definition.vertices.get(target);
  const [input] = copy?.inputs ?? [];
  if (copy?.op.kind !== 'file' || copy.op.base !== -1 || copy.inputs.length !== 1 || input === undefined) {
    return undefined;
  }
  const added = definition.vertices.get(input)?.op;
  if (added?.kind !== 'source') return undefined;
  return added.source.type === 'git' || added.source.type === 'http' ? added.source : undefined;
}
