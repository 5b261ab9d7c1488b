import { FILE_RULES } from './file-rules.ts';
import { FROM_RULES } from './from-rules.ts';
import { STEP_RULES } from './step-rules.ts';
import type { Rule } from './types.ts';

/** Every rule, in the order of the documentation. */
export const RULES: readonly Rule[] = [...FILE_RULES, ...FROM_RULES, ...STEP_RULES];

/** The page of a rule in the package and in the repository. */
export function rulePage(name: string): string {
  return `docs/lint/${name}.md`;
}
