import { isOcibuildError, type OcibuildError } from '../errors/error.ts';
import { type SourceRef, withSource } from '../errors/source.ts';
import type { Digest } from '../image/types.ts';
import { createBuild } from './convert/convert.ts';
import { type ResolvedPlan, resolvePlan } from './convert/resolve.ts';
import { planStages, type StagePlan } from './convert/stages.ts';
import type { Build } from './convert/state.ts';
import { createLinter } from './lint/linter.ts';
import { createFaults, type Faults } from './parse/faults.ts';
import { type FileProgram, readProgram } from './parse/read-file.ts';
import type { FrontendContext, LintWarning, ResolvedImage } from './types.ts';

/** What the rules found, and what would stop a build. */
export interface CheckFindings {
  readonly warnings: readonly LintWarning[];
  readonly error?: OcibuildError;
}

/** A Dockerfile whose stages are converted as far as that is possible; nothing is built of it. */
export interface Description {
  readonly program: FileProgram;
  readonly plan: StagePlan;
  readonly resolved: ResolvedPlan;
  readonly build: Build;
}

/**
 * Asks all rules about the target, or about all stages where none is given. A base image that cannot be found, and a
 * fault in one stage, do not keep the rest from being looked at.
 */
export async function checkDockerfile(given: FrontendContext): Promise<CheckFindings> {
  const { context, missing } = tolerant(given);
  const linter = createLinter(context, { isUnknown: (name) => missing.has(name) });
  const faults = createFaults();
  try {
    const { plan, resolved, build } = await describeDockerfile(context, { faults, linter });
    for (const index of resolved.stages.keys()) build.stageState(index);
    for (const [name, error] of missing) {
      faults.add(withSource(error, placeOfImage(plan, resolved, name)));
    }
    faults.check();
    linter.throwIfFailed();
    return { warnings: linter.warnings() };
  } catch (error) {
    if (!isOcibuildError(error) || error.category === 'internal' || error.category === 'cancelled')
      throw error;
    return { warnings: linter.warnings(), error };
  }
}

/** Reads and plans: every stage where there is no target, else those that it needs. */
export async function describeDockerfile(
  context: FrontendContext,
  options: { readonly faults: Faults; readonly linter?: ReturnType<typeof createLinter> },
): Promise<Description> {
  const program = await readProgram(context, context.dockerfile, options.linter?.file);
  const planned = planStages(context, program);
  const all = context.target === undefined || context.target === '';
  const also = options.linter !== undefined && all ? planned.stages.map(({ index }) => index) : [];
  const plan: StagePlan = { ...planned, also };
  const resolved = await resolvePlan(context, plan);
  const build = createBuild(context, { plan: resolved, scope: plan.scope, ...options });
  return { program, plan, resolved, build };
}

/** Images that cannot be found count as empty, and what only a build may refuse is allowed. */
export function tolerant(given: FrontendContext): {
  readonly context: FrontendContext;
  /** Why images were not found. */
  readonly missing: ReadonlyMap<string, OcibuildError>;
} {
  const missing = new Map<string, OcibuildError>();
  const context: FrontendContext = {
    ...given,
    allow: ['network.host', 'security.insecure', 'device'],
    resolver: {
      async resolve(name, platform, signal): Promise<ResolvedImage> {
        try {
          return await given.resolver.resolve(name, platform, signal);
        } catch (error) {
          if (!isOcibuildError(error) || signal.aborted || error.category === 'internal') throw error;
          missing.set(name, error);
          const rootfs = { type: 'layers' as const, diff_ids: [] };
          const manifest = `sha256:${'0'.repeat(64)}` as Digest;
          return { name, manifest, config: { ...platform, rootfs } };
        }
      },
    },
  };
  return { context, missing };
}

function placeOfImage(plan: StagePlan, resolved: ResolvedPlan, name: string): SourceRef | undefined {
  const from = plan.stages.find(({ base }) => base.kind === 'image' && base.name === name)?.from;
  const user = [...resolved.stages.values()].flatMap(({ sources, instructions }) => {
    const [key] = [...sources].find(([, source]) => source.kind === 'image' && source.name === name) ?? [];
    return instructions.filter(
      (each) => each === key || (each.kind === 'RUN' && each.mounts.some((mount) => mount === key)),
    );
  })[0];
  const raw = (from ?? user)?.raw;
  return raw === undefined ? undefined : { file: raw.file, ranges: [raw.range] };
}
