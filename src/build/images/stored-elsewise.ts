import { isOcibuildError, OcibuildError } from '../../errors/error.ts';

/** What a registry said of an image that the store has for other platforms only: both are told. */
export function withStoredPlatforms(error: unknown, name: string, platforms: readonly string[]): unknown {
  if (platforms.length === 0 || !isOcibuildError(error) || error.category !== 'registry') return error;
  const { code, message, details } = error;
  const hint = `the store has "${name}" for ${platforms.join(', ')} only`;
  return new OcibuildError(code, message, { cause: error.cause, details, hint });
}
