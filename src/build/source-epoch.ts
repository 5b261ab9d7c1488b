import { findEpochSource } from '../frontend/convert/epoch.ts';
import { createFrontendContext } from './frontend-context.ts';
import type { ImageSources } from './inputs/image-resolver.ts';
import type { MainContext } from './inputs/main-context.ts';
import type { RemoteSources } from './inputs/remote-sources.ts';
import type { InternalSteps } from './internal-steps.ts';
import type { NormalOptions } from './normalise.ts';

export interface EpochDeps {
  readonly main: MainContext;
  readonly images: ImageSources;
  readonly steps: InternalSteps;
  readonly remote: RemoteSources;
  readonly signal: AbortSignal;
}

/** SOURCE_DATE_EPOCH in seconds: the number given, or the time of what is named. Local files give none. */
export async function readEpoch(
  options: NormalOptions,
  { main, images, steps, remote, signal }: EpochDeps,
): Promise<number | undefined> {
  const { epochName } = options;
  if (epochName === undefined) return options.epochSec;
  const context = createFrontendContext(main, { options, images, steps, signal });
  const found = await findEpochSource(
    { ...context, targetPlatform: options.platforms[0] ?? options.buildPlatform },
    epochName,
  );
  switch (found.kind) {
    case 'local':
      return undefined;
    case 'context':
      return main.source === undefined ? undefined : remote.time(main.source, signal);
    case 'remote':
      return remote.time(found.source, signal);
  }
}
