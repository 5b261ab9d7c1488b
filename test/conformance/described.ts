/** Reduces what `--call` prints, in BuildKit's JSON shape, to what two builders must agree on. */
import { isDeepStrictEqual } from 'node:util';
import type { CaseOptions, Described, DescribedOutcome, Outcome } from './types.ts';

type Json = Record<string, unknown>;
type Located = { location?: { ranges?: { start: { line: number }; end: { line: number } }[] } };

/** @param output the JSON of `--call check|outline|targets,format=json` */
export function describedOutcome(call: NonNullable<CaseOptions['call']>, output: string): DescribedOutcome {
  const result = JSON.parse(output) as Json;
  switch (call) {
    case 'check':
      return { described: { warnings: sorted(warningsOf(result)), ...failureOf(result) } };
    case 'outline': {
      const { name = '', description = '' } = result;
      const [args, secrets, ssh] = ['args', 'secrets', 'ssh'].map((key) => sorted(listOf(result[key])));
      return { described: { name, description, args, secrets, ssh } as Described };
    }
    case 'targets':
      return { described: { targets: listOf(result.targets) } };
  }
}

/** Docker tells no line where the fault is in an option of the check itself. */
export function expectedDescription(expected: DescribedOutcome, actual: Outcome): DescribedOutcome {
  const { fails } = expected.described;
  if (!('described' in actual) || !Array.isArray(fails) || fails.length > 0) return expected;
  return { described: { ...expected.described, fails: actual.described.fails } };
}

/** Whether two builders tell the same. */
export function sameDescription(actual: Outcome, expected: Outcome): boolean {
  return isDeepStrictEqual(
    actual,
    'described' in expected ? expectedDescription(expected, actual) : expected,
  );
}

function warningsOf(result: Json): Json[] {
  // Descriptions and pages of the rules are each builder's own.
  return listOf(result.warnings).map(({ ruleName, detail, lines }) => ({ rule: ruleName, detail, lines }));
}

function failureOf({ buildError }: Json): Json {
  if (buildError === undefined || buildError === null) return {};
  return { fails: linesOf(buildError as Located) ?? [] };
}

function listOf(value: unknown): Json[] {
  return ((value ?? []) as (Json & Located)[]).map(({ location, ...rest }) => {
    const lines = linesOf(location === undefined ? {} : { location });
    return { ...rest, ...(lines === undefined ? {} : { lines }) };
  });
}

function linesOf({ location }: Located): [number, number] | undefined {
  const ranges = location?.ranges ?? [];
  if (ranges.length === 0) return undefined;
  const first = Math.min(...ranges.map(({ start }) => start.line));
  return [first, Math.max(...ranges.map(({ end }) => end.line))];
}

/** Rules are checked in another order, and some in no fixed one; Docker says some things twice. */
function sorted(list: Json[]): Json[] {
  const key = (one: Json): string =>
    `${String((one.lines as number[] | undefined)?.[0] ?? 0).padStart(6, '0')} ${JSON.stringify(one)}`;
  const each = [...new Map(list.map((one) => [JSON.stringify(one), one])).values()];
  return each.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
