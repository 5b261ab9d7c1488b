/** How a step is called: `[build 2/5] RUN make`. */
export interface StepName {
  /** The stage, or the number of its FROM; undefined in a Dockerfile whose only stage has no name. */
  readonly stage?: string;
  /** In its stage, from 1; undefined for what is no instruction. */
  readonly step?: number;
  /** The instruction. */
  readonly text: string;
}

/** @param name as progress shows it */
export function parseStepName(name: string): StepName {
  const [, words = '', step, , text = ''] = /^\[((?:\S+ +)*?)(\d+)\/(\d+)\] (.*)$/s.exec(name) ?? [];
  if (step === undefined) return { text: name };
  // `[linux/arm64 build 2/5]`: of several platforms each step says its own.
  const stage = words
    .trim()
    .split(/ +/)
    .filter((word) => word !== '' && !word.includes('/'))
    .at(-1);
  return { ...(stage === undefined ? {} : { stage }), step: Number(step), text };
}

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
