import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { RunRequest } from '../../build/containers/types.ts';
import { parsePublishedPorts } from '../../build/published-ports.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { ContainerLimits, ContainerNetworkMode } from '../../executor/types.ts';
import { parseAddHost, parseSize, parseUlimit } from '../build/run-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, splitAt } from '../flags/parse-args.ts';
import type { ParsedArgs } from '../flags/types.ts';
import type { CliContext } from '../types.ts';
import { parseMount, parseTmpfs, parseVolume } from './mount-flags.ts';

const NETWORKS = ['bridge', 'pasta', 'slirp4netns', 'host', 'none'] as const;
const CONTAINER_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

type Where = Pick<CliContext, 'env' | 'cwd'>;

/** Turns the flags of `run` and the words after the image into a request. @throws USAGE_INVALID */
export function readRunRequest(parsed: ParsedArgs, args: readonly string[], where: Where): RunRequest {
  const { bool, text, list } = flagReader(parsed);
  const network = readNetwork(text('network') ?? text('net'));
  const ports = parsePublishedPorts(list('publish'));
  const publishAll = bool('publish-all');
  const name = text('name');
  if (name !== undefined && !CONTAINER_NAME.test(name)) {
    throw new OcibuildError(
      'USAGE_INVALID',
      `Cannot use the name "${name}": expected letters, digits, "_", "." and "-"`,
    );
  }
  const shmSize = text('shm-size');
  return {
    args,
    ...entrypointOf(text('entrypoint')),
    env: readEnv(parsed, where),
    ...optional('cwd', readWorkdir(text('workdir'))),
    ...optional('user', text('user')),
    ...optional('name', name),
    ...optional('hostname', text('hostname')),
    mounts: [
      ...list('volume').map((item) => parseVolume(item, where.cwd)),
      ...list('mount').map((item) => parseMount(item, where.cwd)),
      ...list('tmpfs').map(parseTmpfs),
    ],
    ports,
    publishAll,
    ...(network === undefined ? {} : { network }),
    extraHosts: list('add-host').map((entry) => parseAddHost(entry)),
    readonlyRoot: bool('read-only'),
    privileged: bool('privileged'),
    addCapabilities: list('cap-add').map(capability),
    dropCapabilities: list('cap-drop').map(capability),
    limits: readLimits(parsed),
    ulimits: list('ulimit').map(parseUlimit),
    ...(shmSize === undefined ? {} : { shmSize: parseSize('--shm-size', shmSize) }),
    labels: Object.fromEntries(
      list('label').map((label) => [splitAt(label, '=')[0], splitAt(label, '=')[1] ?? '']),
    ),
    ...optional('stopSignal', text('stop-signal')),
    ...(text('stop-timeout') === undefined
      ? {}
      : { stopTimeoutSec: readNumber('--stop-timeout', text('stop-timeout') ?? '') }),
    remove: bool('rm'),
    interactive: bool('interactive'),
    tty: bool('tty'),
  };
}

/** Values of `-e` and of the files, in the order in which Docker takes them: files first. @throws USAGE_INVALID */
export function readEnv(parsed: ParsedArgs, { env, cwd }: Where): string[] {
  const { list } = flagReader(parsed);
  const lines = list('env-file').flatMap((file) =>
    readLines(resolve(cwd, file)).filter((line) => line !== '' && !line.startsWith('#')),
  );
  return [...lines, ...list('env')].flatMap((entry) => {
    const [key, value] = splitAt(entry, '=');
    if (key === '')
      throw new OcibuildError('USAGE_INVALID', `Cannot use the variable "${entry}": it has no name`);
    if (value !== undefined) return [entry];
    return env[key] === undefined ? [] : [`${key}=${env[key]}`];
  });
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.trimStart().replace(/\r$/, ''));
  } catch (cause) {
    throw new OcibuildError('USAGE_INVALID', `Cannot read --env-file "${path}"`, { cause });
  }
}

/** Seconds and the like: zero or more. @throws USAGE_INVALID */
export function readNumber(flag: string, text: string): number {
  const number = Number(text);
  if (text !== '' && Number.isFinite(number) && number >= 0) return number;
  throw new OcibuildError('USAGE_INVALID', `Cannot use ${flag} "${text}": expected a number`);
}

function readNetwork(text: string | undefined): ContainerNetworkMode | undefined {
  if (text === undefined || text === '' || text === 'default') return undefined;
  return oneOf('--network', text, NETWORKS);
}

function readWorkdir(text: string | undefined): string | undefined {
  if (text === undefined || text.startsWith('/')) return text;
  throw new OcibuildError('USAGE_INVALID', `Cannot use --workdir "${text}": expected an absolute path`);
}

/** One word; an empty one takes the image's away. */
function entrypointOf(text: string | undefined): { entrypoint?: readonly string[] } {
  if (text === undefined) return {};
  return { entrypoint: text === '' ? [] : [text] };
}

function capability(text: string): string {
  const name = text.toUpperCase();
  return name === 'ALL' || name.startsWith('CAP_') ? name : `CAP_${name}`;
}

function readLimits(parsed: ParsedArgs): ContainerLimits {
  const { text } = flagReader(parsed);
  const [memory, cpus, pids] = [text('memory'), text('cpus'), text('pids-limit')];
  const isLimit = (value: string | undefined): value is string =>
    value !== undefined && value !== '0' && value !== '-1';
  return {
    ...(isLimit(memory) ? { memoryBytes: parseSize('--memory', memory) } : {}),
    ...(isLimit(cpus) ? { cpus: readNumber('--cpus', cpus) } : {}),
    ...(isLimit(pids) ? { pids: readNumber('--pids-limit', pids) } : {}),
  };
}

function optional<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: string });
}
