/** The parts of a step's name. */
export interface StepName {
  /** What belongs together: `build`, `linux/arm64 build`, `internal`; undefined for steps that stand alone. */
  readonly group?: string;
  /** `3/5`, where the step is one of a stage. */
  readonly number?: string;
  /** Steps of the stage, 0 where unknown. */
  readonly steps: number;
  readonly text: string;
}

/** Takes `[linux/arm64 build 3/5] RUN make` apart. */
export function parseStepName(name: string): StepName {
  const match = /^\[(?<place>[^\]]+)\] (?<text>.*)$/s.exec(name);
  if (match?.groups === undefined) return { steps: 0, text: name };
  const { place = '', text = '' } = match.groups;
  const numbered = /^(?:(?<group>.*?) )? *(?<step>\d+)\/(?<steps>\d+)$/.exec(place);
  if (numbered?.groups === undefined) return { group: place, steps: 0, text };
  const { group = '', step = '', steps = '' } = numbered.groups;
  return { group: group.trim(), number: `${step}/${steps}`, steps: Number(steps), text };
}

/** Whether the step only prepares the build. */
export function isInternalName({ group }: StepName): boolean {
  return group !== undefined && /(?:^| )internal$/.test(group);
}
