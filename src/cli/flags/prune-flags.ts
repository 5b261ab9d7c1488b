import type { Flag } from './types.ts';

const FILTER: Flag = {
  name: 'filter',
  kind: 'list',
  value: 'K=V',
  help: 'type=…, cache-mount=ID, image=REF, until=24h, …',
};
const FORMAT: Flag = {
  name: 'format',
  kind: 'string',
  value: 'FORMAT',
  choices: ['table', 'json'],
  help: 'table (default) or json',
};

export const DU_FLAGS: readonly Flag[] = [
  FILTER,
  { name: 'verbose', kind: 'bool', help: 'each form of a layer, with all that is known of it' },
  FORMAT,
];

export const PRUNE_FLAGS: readonly Flag[] = [
  { name: 'all', short: 'a', kind: 'bool', help: 'also what images share, and internal records' },
  FILTER,
  { name: 'keep-duration', kind: 'string', value: 'TIME', help: 'keep what was used since then: 48h, 7d' },
  { name: 'max-used-space', kind: 'string', value: 'SIZE', help: 'remove until the store is so small: 20GB' },
  { name: 'reserved-space', kind: 'string', value: 'SIZE', help: 'never go below this' },
  { name: 'keep-storage', kind: 'string', value: 'SIZE' },
  { name: 'min-free-space', kind: 'string', value: 'SIZE', help: 'remove until so much is free: 20%' },
  { name: 'dry-run', kind: 'bool', help: 'say what would go' },
  { name: 'force', short: 'f', kind: 'bool', help: 'do not ask' },
  { name: 'verbose', kind: 'bool', help: 'each form of a layer' },
  FORMAT,
];

export const CACHE_FLAGS: readonly Flag[] = [
  { name: 'all', short: 'a', kind: 'bool', help: '`rm`: every cache mount' },
  { ...FORMAT, help: '`ls`: table (default) or json' },
  { name: 'no-trunc', kind: 'bool', help: '`ls`: whole ids' },
];
