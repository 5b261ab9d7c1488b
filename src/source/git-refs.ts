import type { GitCommit } from './types.ts';

const WHOLE = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** Whether a ref is a commit by all of its digits (SHA-1 or SHA-256). */
export function isWholeCommit(ref: string): boolean {
  return WHOLE.test(ref);
}

/** What to ask `git ls-remote` for: the ref, and what an annotated tag of that name points to. */
export function refPatterns(ref: string | undefined): readonly string[] {
  return ref === undefined ? ['HEAD'] : [ref, `${ref}^{}`];
}

/**
 * Finds a ref in the output of `git ls-remote --symref`: as it is written below `refs/`, then as a branch, then as a
 * tag. A tag object gives the commit that it points to. Parts of a commit are no ref.
 */
export function chooseRef(output: string, ref: string | undefined): GitCommit | undefined {
  const commits = new Map<string, string>();
  let head: string | undefined;
  for (const line of output.split('\n')) {
    const [left = '', name = ''] = line.split('\t');
    if (left.startsWith('ref: ') && name === 'HEAD') head = left.slice('ref: '.length);
    else if (WHOLE.test(left)) commits.set(name, left);
  }
  if (ref === undefined) {
    const commit = commits.get('HEAD');
    return commit === undefined ? undefined : { commit, ref: head };
  }
  const names = [
    `refs/${withoutPrefix(ref, 'refs/')}`,
    `refs/heads/${withoutPrefix(ref, 'refs/heads/')}`,
    `refs/tags/${withoutPrefix(ref, 'refs/tags/')}`,
  ];
  for (const name of names) {
    const [object, commit] = [commits.get(name), commits.get(`${name}^{}`)];
    if (object === undefined) continue;
    return { commit: commit ?? object, ref: name, ...(commit === undefined ? {} : { tagObject: object }) };
  }
  return undefined;
}

function withoutPrefix(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : text;
}
