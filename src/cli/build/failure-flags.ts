import type { FailureExport } from '../../build/options.ts';
import { OcibuildError } from '../../errors/error.ts';

/** Reads `--export-on-failure STEP:/path=dest`. @throws USAGE_INVALID */
export function parseFailureExport(text: string): FailureExport {
  const [, step = '', path = '', dest = ''] = /^(.+?):(\/[^=]*)=(.+)$/s.exec(text) ?? [];
  if (step !== '' && dest !== '-') return { step, path, dest };
  throw new OcibuildError(
    'USAGE_INVALID',
    `Cannot use --export-on-failure "${text}": ${dest === '-' ? 'dest is a file or a directory, never stdout' : 'expected STEP:/path=dest'}`,
    { hint: 'STEP is a stage, STAGE/N, N, the beginning of an instruction or *: test:/app/reports=reports' },
  );
}
