import { OcibuildError } from '../errors/error.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import type { CliContext } from './types.ts';

/**
 * Gives the exit code 0 once the text is out: exiting earlier would cut off a pipe. A reader that has gone (`| head`) is
 * no fault.
 * @throws DISK_FULL, EXPORT_FAILED where stdout is a file that could not take all of it
 */
export async function print(
  text: string | Uint8Array,
  { stdout }: Pick<CliContext, 'stdout'>,
): Promise<number> {
  if (text.length === 0) return 0;
  const cause = await new Promise<Error | null | undefined>((done) => stdout.write(text, done));
  const errno = errnoOf(cause);
  const isGone =
    errno === undefined || errno === 'EPIPE' || errno.startsWith('ERR_') || stdout.isTTY === true;
  if (isGone) return 0;
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    throw new OcibuildError('DISK_FULL', 'Cannot write to stdout: no space left on the device', {
      hint: 'free space, or write to another disk',
      cause,
    });
  }
  throw new OcibuildError('EXPORT_FAILED', `Cannot write to stdout: ${errno}`, { cause });
}
