/** What the name of a step tells: `[linux/arm64 build 2/5] RUN make`. */
export interface StepName {
  /** The stage, or the number of its FROM; undefined in a Dockerfile whose only stage has no name. */
  readonly stage?: string;
  /** Of several platforms: whose step it is. */
  readonly platform?: string;
  /** In its stage, from 1; undefined for what is no instruction. */
  readonly step?: number;
  /** The instruction. */
  readonly text: string;
}

/** @param name as progress shows it */
export function parseStepName(name: string): StepName {
  const [, words = '', step, text = ''] = /^\[((?:\S+ +)*? *)(\d+)\/\d+\] (.*)$/s.exec(name) ?? [];
  if (step === undefined) return { text: name };
  const parts = words.split(/ +/).filter((word) => word !== '');
  const stage = parts.filter((word) => !word.includes('/')).at(-1);
  const platform = parts.find((word) => word.includes('/'));
  return {
    ...(stage === undefined ? {} : { stage }),
    ...(platform === undefined ? {} : { platform }),
    step: Number(step),
    text,
  };
}
