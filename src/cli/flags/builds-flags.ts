import type { Flag } from './types.ts';

export const BUILDS_FLAGS: readonly Flag[] = [
  { name: 'quiet', short: 'q', kind: 'bool', help: 'print only ids' },
  {
    name: 'format',
    kind: 'string',
    value: 'FORMAT',
    choices: ['table', 'json'],
    help: 'table (default) or json',
  },
  { name: 'all', short: 'a', kind: 'bool', help: 'with rm: every build that has ended' },
];
