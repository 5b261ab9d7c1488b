import { text } from 'node:stream/consumers';
import { untilAborted } from '../util/until-aborted.ts';
import type { CliContext } from './types.ts';

/** All of stdin as UTF-8. @throws CANCELLED also while nobody types anything */
export function readStdin({ stdin, signal }: Pick<CliContext, 'stdin' | 'signal'>): Promise<string> {
  return text(untilAborted<Uint8Array>(stdin, signal));
}
