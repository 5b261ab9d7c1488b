import type { Flag } from './types.ts';

const QUIET: Flag = { name: 'quiet', short: 'q', kind: 'bool', help: 'no progress' };
const PLATFORM: Flag = {
  name: 'platform',
  kind: 'string',
  value: 'OS/ARCH',
  help: 'one image of a multi-platform index',
};

export const PUSH_FLAGS: readonly Flag[] = [QUIET, PLATFORM];

export const PULL_FLAGS: readonly Flag[] = [
  QUIET,
  { ...PLATFORM, help: "platform of the image (default: this machine's)" },
  { name: 'all-platforms', kind: 'bool', help: 'the whole index with everything below it' },
];

export const COPY_FLAGS: readonly Flag[] = [
  QUIET,
  PLATFORM,
  { name: 'all-platforms', kind: 'bool', help: 'the whole index (default)' },
  { name: 'format', kind: 'string', value: 'FORMAT', help: 'convert media types: oci or docker' },
];

export const HISTORY_FLAGS: readonly Flag[] = [
  { name: 'no-trunc', kind: 'bool', help: 'show whole lines' },
  { name: 'format', kind: 'string', value: 'FORMAT', help: 'table (default) or json' },
];

export const LOGIN_FLAGS: readonly Flag[] = [
  { name: 'username', short: 'u', kind: 'string', value: 'NAME', help: 'user' },
  { name: 'password-stdin', kind: 'bool', help: 'read the password or token from stdin' },
  {
    name: 'password',
    short: 'p',
    kind: 'string',
    refused: 'other users of this machine could see it; write --password-stdin',
  },
];

export const DIFF_FLAGS: readonly Flag[] = [
  PLATFORM,
  { name: 'format', kind: 'string', value: 'FORMAT', help: 'text (default) or json' },
];

const PLATFORM_FLAG: Flag = {
  name: 'platform',
  kind: 'string',
  value: 'OS/ARCH',
  help: "which image of several (default: this machine's)",
};

export const UNPACK_FLAGS: readonly Flag[] = [PLATFORM_FLAG];

export const INSPECT_FLAGS: readonly Flag[] = [
  PLATFORM_FLAG,
  { name: 'raw', kind: 'bool', help: 'the manifest or index, byte for byte' },
  { name: 'config', kind: 'bool', help: 'the image config' },
  { name: 'layers', kind: 'bool', help: 'digest, size and media type of each layer' },
];

export const IMAGES_FLAGS: readonly Flag[] = [
  { name: 'quiet', short: 'q', kind: 'bool', help: 'print only digests' },
  { name: 'no-trunc', kind: 'bool', help: 'show whole digests' },
  {
    name: 'format',
    kind: 'string',
    value: 'FORMAT',
    help: 'table (default) or json',
    choices: ['table', 'json'],
  },
];

export const RMI_FLAGS: readonly Flag[] = [
  {
    name: 'force',
    short: 'f',
    kind: 'bool',
    help: 'also all names of a digest; no error for none',
  },
];
