import { checkDockerfile } from '../../../../src/frontend/describe.ts';
import { applyEdits } from '../../../../src/frontend/lint/apply-edits.ts';
import type { FrontendContext, LintWarning } from '../../../../src/frontend/types.ts';
import { image, makeContext } from '../support.ts';

/** A context in which every name is an image for amd64. */
export function anyImage(text: string, changes: Partial<FrontendContext> = {}): FrontendContext {
  const resolver = { resolve: async (name: string) => image(name) };
  return makeContext(text, { resolver, ...changes });
}

export async function lint(
  text: string,
  changes?: Partial<FrontendContext>,
): Promise<readonly LintWarning[]> {
  return (await checkDockerfile(anyImage(text, changes))).warnings;
}

/** The text that a range covers. */
export function covered(text: string, { range: { start, end } }: LintWarning): string {
  const lines = text.split('\n').slice(start.line - 1, end.line);
  const last = lines.length - 1;
  lines[last] = (lines[last] ?? '').slice(0, end.column - 1);
  lines[0] = (lines[0] ?? '').slice(start.column - 1);
  return lines.join('\n');
}

/** The text after all fixes, those included that only the first ones make room for. */
export async function fixed(text: string, changes?: Partial<FrontendContext>): Promise<string> {
  for (let round = 0, current = text; ; round++) {
    const groups = (await lint(current, changes)).flatMap(({ fix }) => (fix === undefined ? [] : [fix]));
    const { text: next, applied } = applyEdits(current, groups);
    if (applied === 0) return current;
    if (round > 5) throw new Error(`no end of fixes: ${current}`);
    current = next;
  }
}
