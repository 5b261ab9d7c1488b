import { exitCodeOf } from '../errors/codes.ts';
import { cancelledError, isOcibuildError, type OcibuildError } from '../errors/error.ts';
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
  const known = signal.aborted && !isOcibuildError(error) ? cancelledError(signal) : error;
  write(json ? `${jsonOf(known)}\n` : renderError(known, { debug }));
  return isOcibuildError(known) ? exitCodeOf(known.category) : exitCodeOf('internal');
}

function jsonOf(error: unknown): string {
  const plain = isOcibuildError(error)
    ? (error as OcibuildError).toJSON()
    : { code: 'INTERNAL', category: 'internal', message: String(error) };
  return redactCredentials(JSON.stringify({ error: plain }));
}
