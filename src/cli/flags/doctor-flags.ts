import type { Flag } from './types.ts';

export const DOCTOR_FLAGS: readonly Flag[] = [
  {
    name: 'format',
    kind: 'string',
    value: 'FORMAT',
    choices: ['text', 'json'],
    help: 'text (default) or json',
  },
];
