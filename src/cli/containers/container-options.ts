import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { findInit } from '../../build/containers/init.ts';
import type { RunRequest } from '../../build/containers/types.ts';
import { parsePublishedPorts } from '../../build/published-ports.ts';
import { OcibuildError } from '../../errors/error.ts';
import type { ContainerNetworkMode } from '../../executor/types.ts';
import { parseAddHost, parseSize, parseUlimit } from '../build/run-flags.ts';
import { oneOf } from '../flags/one-of.ts';
import { flagReader, splitAt } from '../flags/parse-args.ts';
import type { ParsedArgs } from '../flags/types.ts';
import type { CliContext } from '../types.ts';
import { parseDevice, parseExpose } from './device-flags.ts';
import { readLimits, readNumber } from './limit-flags.ts';
import { parseMount, parseTmpfs, parseVolume } from './mount-flags.ts';

const NETWORKS = ['bridge', 'pasta', 'slirp4netns', 'host', 'none'] as const;
/** Becomes an address when there is a network. */
const HOST_GATEWAY = 'host-gateway';
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
    ...some('expose', list('expose').flatMap(parseExpose)),
    ...some('devices', list('device').map(parseDevice)),
    ...(bool('init') ? { init: findInit(where.env.PATH ?? '') } : {}),
    ...(network === undefined ? {} : { network }),
    extraHosts: list('add-host').map((entry) => parseAddHost(entry, HOST_GATEWAY)),
    readonlyRoot: bool('read-only'),
    privileged: bool('privileged'),
    addCapabilities: list('cap-add').map(capability),
    dropCapabilities: list('cap-drop').map(capability),
    limits: readLimits(parsed),
    ...readExtras(parsed),
    ulimits: list('ulimit').map(parseUlimit),
    ...(shmSize === undefined ? {} : { shmSize: parseSize('--shm-size', shmSize) }),
    labels: Object.fromEntries(
      [...labelLines(parsed, where), ...list('label'), ...list('annotation')].map((label) => [
        splitAt(label, '=')[0],
        splitAt(label, '=')[1] ?? '',
      ]),
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

function labelLines(parsed: ParsedArgs, { cwd }: Where): string[] {
  return flagReader(parsed)
    .list('label-file')
    .flatMap((file) => readLines('--label-file', resolve(cwd, file)));
}

/** Values of `-e` and of the files, in the order in which Docker takes them: files first. @throws USAGE_INVALID */
export function readEnv(parsed: ParsedArgs, { env, cwd }: Where): string[] {
  const { list } = flagReader(parsed);
  const lines = list('env-file').flatMap((file) => readLines('--env-file', resolve(cwd, file)));
  return [...lines, ...list('env')].flatMap((entry) => {
    const [key, value] = splitAt(entry, '=');
    if (key === '')
      throw new OcibuildError('USAGE_INVALID', `Cannot use the variable "${entry}": it has no name`);
    if (value !== undefined) return [entry];
    return env[key] === undefined ? [] : [`${key}=${env[key]}`];
  });
}

/** Without empty lines and comments. */
function readLines(flag: string, path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.trimStart().replace(/\r$/, ''))
      .filter((line) => line !== '' && !line.startsWith('#'));
  } catch (cause) {
    throw new OcibuildError('USAGE_INVALID', `Cannot read ${flag} "${path}"`, { cause });
  }
}

function readNetwork(text: string | undefined): ContainerNetworkMode | undefined {
  if (text === undefined || text === '' || text === 'default') return undefined;
  return oneOf('--network', text, NETWORKS);
}

/** As in Docker an empty one is the container's own. @throws USAGE_INVALID */
export function readWorkdir(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  if (text.startsWith('/')) return text;
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

/** Names of security modules that are not used here change nothing, as where Docker finds none. */
const IDLE_SECURITY = /^(?:label|apparmor)[=:]/;

function readExtras(parsed: ParsedArgs): Pick<RunRequest, 'extras' | 'dns'> {
  const { text, list } = flagReader(parsed);
  const security = list('security-opt');
  const noNewPrivileges = /^no-new-privileges(?:[=:]true)?$/;
  const unconfined = /^seccomp[=:]unconfined$/;
  const strange = security.find(
    (option) => ![noNewPrivileges, unconfined, IDLE_SECURITY].some((known) => known.test(option)),
  );
  if (strange !== undefined) {
    throw new OcibuildError('USAGE_INVALID', `Cannot use --security-opt "${strange}"`, {
      hint: 'there are no-new-privileges and seccomp=unconfined',
    });
  }
  const sysctls = list('sysctl').map((entry): [string, string] => {
    const [name, value] = splitAt(entry, '=');
    if (value !== undefined && name !== '') return [name, value];
    throw new OcibuildError('USAGE_INVALID', `Cannot use --sysctl "${entry}": expected NAME=VALUE`);
  });
  const domain = text('domainname');
  if (domain !== undefined) sysctls.push(['kernel.domainname', domain]);
  const score = text('oom-score-adj');
  if (score !== undefined && !(Number.isInteger(Number(score)) && Math.abs(Number(score)) <= 1000))
    throw new OcibuildError('USAGE_INVALID', `Cannot use --oom-score-adj "${score}": expected -1000 to 1000`);
  const extras = {
    ...(sysctls.length === 0 ? {} : { sysctls: Object.fromEntries(sysctls) }),
    ...(score === undefined ? {} : { oomScoreAdj: Number(score) }),
    ...(security.some((option) => noNewPrivileges.test(option)) ? { noNewPrivileges: true } : {}),
    ...(security.some((option) => unconfined.test(option)) ? { seccompUnconfined: true } : {}),
    ...some('groups', list('group-add')),
    ...(readPid(text('pid')) === 'host' ? { hostPid: true } : {}),
  };
  const joined = (word: string, values: readonly string[]): string[] =>
    values.length === 0 ? [] : [`${word} ${values.join(' ')}`];
  const dns = [
    ...list('dns').map(nameserver),
    ...joined('search', list('dns-search')),
    ...joined('options', list('dns-option')),
  ];
  return { ...(Object.keys(extras).length === 0 ? {} : { extras }), ...(dns.length === 0 ? {} : { dns }) };
}

function readPid(text = ''): string {
  return text === '' ? 'private' : oneOf('--pid', text, ['host', 'private']);
}

function nameserver(address: string): string {
  if (isIP(address) !== 0) return `nameserver ${address}`;
  throw new OcibuildError('USAGE_INVALID', `Cannot use --dns "${address}": expected an IP address`);
}

function optional<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: string });
}

function some<K extends string, T>(key: K, values: readonly T[]): { readonly [P in K]?: readonly T[] } {
  return values.length === 0 ? {} : ({ [key]: values } as { readonly [P in K]: readonly T[] });
}
