import type { Digest } from '../../image/types.ts';
import type { ScannedRoot } from '../types.ts';
import type { Build, StageState } from './state.ts';

const STAGE = 'BUILDKIT_SBOM_SCAN_STAGE';
const CONTEXT = 'BUILDKIT_SBOM_SCAN_CONTEXT';

/**
 * What ARG lines say is to be told of beside the image: stages that it is made from, and the main context. Before the
 * first FROM such a line is for all stages, in a stage for that one. Its value is yes or no, or the names of stages.
 */
export function scannedRoots(build: Build, target: number): ScannedRoot[] {
  const states = [...build.plan.stages.keys()].map((index) => build.stageState(index));
  const wants = (state: StageState, name: string): boolean => {
    const values = [build.globals.get(name), ownValue(state, name)];
    return values.some((value) => value !== undefined && isFor(value, state));
  };
  const stages = states.flatMap((state): ScannedRoot[] => {
    const { index, name } = state.stage;
    if (state.root === undefined || index === target || !wants(state, STAGE)) return [];
    return [{ name: name ?? `stage-${index}`, root: state.root }];
  });
  if (!states.some((state) => wants(state, CONTEXT))) return stages;
  return [{ name: 'context', root: contextRoot(build) }, ...stages];
}

/** Set in the stage itself, not in one that it stands on. */
function ownValue({ stage, args }: StageState, name: string): string | undefined {
  const own = stage.instructions.some(
    (each) => each.kind === 'ARG' && each.args.some(({ key }) => key === name),
  );
  return own ? args.findLast(({ key }) => key === name)?.value : undefined;
}

function isFor(value: string, { stage }: StageState): boolean {
  if (/^(?:1|t|true)$/i.test(value)) return true;
  if (value === '' || /^(?:0|f|false)$/i.test(value)) return false;
  const names = value.split(',').map((name) => name.trim().toLowerCase());
  return names.includes(stage.name ?? String(stage.index));
}

/** All files of the context that are not ignored, as one layer. */
function contextRoot(build: Build): Digest {
  return build.graph.add(
    {
      kind: 'file',
      base: -1,
      actions: [{ type: 'copy', from: 0, sources: [{ path: '', wildcard: false }], dest: '/' }],
    },
    [build.mainContext()],
    { name: '[internal] read the context for the SBOM' },
  );
}
