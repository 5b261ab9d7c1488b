import { exitCodeOf } from '../errors/codes.ts';
import { cancelledError, isOcibuildError, OcibuildError } from '../errors/error.ts';
import { redactCredentials } from '../errors/redact.ts';
import { renderError } from '../errors/render.ts';

export interface ReportOptions {
  readonly write: (text: string) => void;
  readonly signal: AbortSignal;
  readonly debug: boolean;
  /** One JSON object instead of text. */
  readonly json?: boolean;
}

/** Shows an error, the only place that does, and gives the exit code. */
export function reportError(error: unknown, { write, signal, debug, json = false }: ReportOptions): number {
  // What fails because everything is being stopped is no news.
  const known = signal.aborted && !isOcibuildError(error) ? cancelledError(signal) : ofLimit(error);
  write(json ? `${jsonOf(known)}\n` : renderError(known, { debug }));
  return isOcibuildError(known) ? exitCodeOf(known.category) : exitCodeOf('internal');
}

/** A limit of the machine may be met anywhere, and is no bug. */
function ofLimit(error: unknown): unknown {
  if (isOcibuildError(error) && error.category !== 'internal') return error;
  const seen = new Set<unknown>();
  for (let at = error; at instanceof Error && !seen.has(at); at = at.cause) {
    seen.add(at);
    // `rm` of Node gives no errno for it.
    if (!/\b(?:EMFILE|ENFILE)\b|too many open files/i.test(at.message)) continue;
    return new OcibuildError('SYSCALL_FAILED', 'Cannot continue: too many files are open', {
      cause: error,
      hint: 'raise the limit with `ulimit -n 1024`',
    });
  }
  return error;
}

function jsonOf(error: unknown): string {
  const plain = isOcibuildError(error)
    ? error.toJSON()
    : { code: 'INTERNAL', category: 'internal', message: String(error) };
  return redactCredentials(JSON.stringify({ error: plain }));
}
