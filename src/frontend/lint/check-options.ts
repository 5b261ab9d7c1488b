import { OcibuildError } from '../../errors/error.ts';
import type { SourceRef } from '../../errors/source.ts';
import { didYouMean } from '../../errors/suggest.ts';
import type { CheckOptions } from './types.ts';

export const NO_CHECK_OPTIONS: CheckOptions = { skip: new Set(), experimental: new Set(), error: false };

const KEYS = ['skip', 'error', 'experimental'];

/**
 * Reads `skip=A,B|all;error=true;experimental=A|all`.
 * @throws DOCKERFILE_DIRECTIVE_INVALID
 */
export function parseCheckOptions(text: string, source?: SourceRef): CheckOptions {
  const fail = (message: string, hint?: string) =>
    new OcibuildError('DOCKERFILE_DIRECTIVE_INVALID', message, {
      hint: hint ?? 'write it as "skip=RULE,RULE;error=true"',
      ...(source === undefined ? {} : { source }),
    });
  let options = NO_CHECK_OPTIONS;
  for (const part of text.split(';')) {
    if (part.trim() === '') continue;
    const [key = '', value] = part.split('=', 2).map((piece) => piece.trim());
    if (value === undefined) throw fail(`Cannot use check option "${part.trim()}": it has no value`);
    switch (key) {
      case 'skip':
      case 'experimental':
        options = { ...options, [key]: readNames(value) };
        break;
      case 'error':
        if (!/^(?:true|false|1|0|t|f)$/i.test(value)) {
          throw fail(`Cannot use check option "error=${value}": it is true or false`);
        }
        options = { ...options, error: /^(?:true|1|t)$/i.test(value) };
        break;
      default:
        throw fail(`Cannot use check option "${key}": it takes ${KEYS.join(', ')}`, didYouMean(key, KEYS));
    }
  }
  return options;
}

/** The options in the comment above an instruction: `# check=skip=RULE`. */
export function commentOptions(comment: readonly string[] | undefined): CheckOptions | undefined {
  const found = comment?.findLast((line) => /^check\s*=/i.test(line));
  if (found === undefined) return undefined;
  try {
    return parseCheckOptions(found.slice(found.indexOf('=') + 1));
  } catch (error) {
    // It is a comment: text that only looks like options must not stop a build.
    if (error instanceof OcibuildError) return undefined;
    throw error;
  }
}

function readNames(value: string): ReadonlySet<string> | 'all' {
  const names = value.split(',').map((name) => name.trim());
  return names.some((name) => name.toLowerCase() === 'all') ? 'all' : new Set(names);
}
