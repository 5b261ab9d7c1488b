/** The parts of a step's name. */
export interface StepName {
  /** What belongs together: `build`, `linux/arm64 build`, `internal`; undefined for steps that stand alone. */
  readonly group?: string;
  /** `3/5`, where the step is one of a stage. */
  readonly number?: string;
  readonly text: string;
}

/** Takes `[linux/arm64 build 3/5] RUN make` apart. */
export function parseStepName(name: string): StepName {
  const match = /^\[(?<place>[^\]]+)\] (?<text>.*)$/s.exec(name);
  if (match?.groups === undefined) return { text: name };
  const { place = '', text = '' } = match.groups;
  const numbered = /^(?:(?<group>.*?) )? *(?<number>\d+\/\d+)$/.exec(place);
  if (numbered?.groups === undefined) return { group: place, text };
  const { group = '', number = '' } = numbered.groups;
  return { group: group.trim(), number, text };
}

/** Whether the step only prepares the build. */
export function isInternalName({ group }: StepName): boolean {
  return group !== undefined && /(?:^| )internal$/.test(group);
}
