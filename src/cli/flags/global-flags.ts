import type { Flag } from './types.ts';

/** Flags of every command; they may stand before it. */
export const GLOBAL_FLAGS: readonly Flag[] = [
  { name: 'root', kind: 'string', value: 'DIR', help: 'where the store is (OCIBUILD_ROOT)' },
  {
    name: 'runtime',
    kind: 'string',
    value: 'NAME',
    help: 'runc, crun or youki (OCIBUILD_RUNTIME)',
  },
  { name: 'config', kind: 'string', value: 'FILE|none', help: 'config file (OCIBUILD_CONFIG)' },
  { name: 'debug', short: 'D', kind: 'bool', help: 'show the stack of every error' },
  { name: 'help', short: 'h', kind: 'bool', help: 'show the help of a command' },
];
