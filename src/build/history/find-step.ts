import { parseStepName } from '../../llb/step-name.ts';

/**
 * Whether a step is meant by `build` (a stage), `build/2` (a step of it), `2` (that step of any stage) or the beginning
 * of its instruction, `RUN npm test`. Case does not count in instructions' names. `*` is every step.
 */
export function isStep(name: string, wanted: string): boolean {
  if (wanted === '*') return true;
  const { stage, step, text } = parseStepName(name);
  const [, stageWanted, stepWanted] = /^(?:(.*)\/)?(\d+)$/.exec(wanted) ?? [];
  if (stepWanted !== undefined && step === Number(stepWanted))
    if (stageWanted === undefined || stageWanted === stage) return true;
  return (stage !== undefined && stage === wanted) || startsWith(text, wanted);
}

function startsWith(text: string, wanted: string): boolean {
  const normal = (each: string): string =>
    each
      .trim()
      .replace(/\s+/g, ' ')
      .replace(/^\S+/, (word) => word.toUpperCase());
  return wanted.trim() !== '' && normal(text).startsWith(normal(wanted));
}
