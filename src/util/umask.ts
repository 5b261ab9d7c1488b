/**
 * Clears the process's umask, so that modes come out as layers state them; main thread only. Extraction is right
 * without it, at one more call for each file. Gives the earlier mask.
 */
export function clearUmask(): number {
  return process.umask(0);
}
