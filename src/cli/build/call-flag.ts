import { OcibuildError } from '../../errors/error.ts';
import { didYouMean } from '../../errors/suggest.ts';
import { goBool } from '../../util/go-bool.ts';
import { oneOf } from '../flags/one-of.ts';

/** What is asked for instead of a build. */
export interface CallRequest {
  readonly name: 'check' | 'outline' | 'targets' | 'subrequests.describe';
  readonly format: 'text' | 'json' | 'sarif';
  /** Findings do not make the exit code 1. */
  readonly ignoreStatus: boolean;
  /** Rewrite the Dockerfile. */
  readonly fix: boolean;
}

const NAMES = ['build', 'check', 'outline', 'targets', 'subrequests.describe'] as const;
const FORMATS = ['text', 'json', 'sarif'] as const;

/**
 * Reads `--call NAME[,format=F][,ignorestatus]`, `--check` and `--fix`; undefined: build.
 * @throws USAGE_INVALID
 */
export function readCall(flags: {
  readonly call: string | undefined;
  readonly check: boolean;
  readonly fix: boolean;
}): CallRequest | undefined {
  const [named = '', ...options] = (flags.call ?? '').split(',').map((part) => part.trim());
  // The name of the request as BuildKit has it, too.
  const known = named.replace(/^frontend\./, '').replace(/^lint$/, 'check');
  const name = oneOf('--call', known || (flags.check ? 'check' : 'build'), NAMES);
  if (flags.check && name !== 'check') {
    throw new OcibuildError('USAGE_INVALID', `Cannot use --check together with --call ${named}`);
  }
  if (flags.fix && name !== 'check') {
    throw new OcibuildError('USAGE_INVALID', 'Cannot use --fix without --check', {
      hint: 'write `ocibuild build --check --fix .`',
    });
  }
  let format: CallRequest['format'] = 'text';
  let ignoreStatus = false;
  for (const option of options) {
    const [key = '', value] = option.split('=', 2);
    if (key === 'format') format = oneOf('--call format', value ?? '', FORMATS);
    else if (key === 'ignorestatus') ignoreStatus = value === undefined || isTrue(value);
    else {
      throw new OcibuildError(
        'USAGE_INVALID',
        `Cannot use "${option}" in --call: it takes format and ignorestatus`,
        {
          hint: didYouMean(key, ['format', 'ignorestatus']) ?? 'write --call check,format=json',
        },
      );
    }
  }
  if (format === 'sarif' && name !== 'check') {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot write ${name} as SARIF: only findings of check have that form`,
    );
  }
  return name === 'build' ? undefined : { name, format, ignoreStatus, fix: flags.fix };
}

function isTrue(value: string): boolean {
  const bool = goBool(value);
  if (bool !== undefined) return bool;
  throw new OcibuildError('USAGE_INVALID', `Cannot use ignorestatus=${value}: expected true or false`);
}
