/**
 * How often a property is tried. The cases are the same each time, so that a failure is the fault of a change and not
 * of the day. `PROPERTY_RUNS=20` tries twenty times as many, new ones each time; fast-check prints the seed of a failure.
 */
export function runs(numRuns: number): { readonly numRuns: number; readonly seed?: number } {
  const factor = Number(process.env.PROPERTY_RUNS ?? 0);
  return factor > 0 ? { numRuns: numRuns * factor } : { numRuns, seed: 20_260_801 };
}
