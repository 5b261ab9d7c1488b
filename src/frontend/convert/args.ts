import { formatPlatform } from '../../image/platform.ts';
import type { Platform } from '../../image/types.ts';
import type { ArgInstruction } from '../parse/instructions.ts';
import type { FrontendContext } from '../types.ts';

/** Arguments that every build has without ARG; their values stay out of keys and history. */
const PROXIES: readonly string[] = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];

/** Read from ARG lines by the scanner of contents, never part of the environment. */
const NOT_EXPORTED: readonly string[] = ['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE'];

/** Names and values of ARGs, in order of their first line; undefined: declared without a value. */
export interface ArgEntry {
  readonly key: string;
  readonly value: string | undefined;
}

/** The variables that FROM lines see before any ARG: the platforms, and the target stage's name if it has one. */
export function platformArgs(context: FrontendContext, lastStage?: string): Map<string, string> {
  const values: [string, string][] = [
    ...describe('BUILD', context.buildPlatform),
    ...describe('TARGET', context.targetPlatform),
    ['TARGETSTAGE', context.target || lastStage || 'default'],
  ];
  return new Map(values.map(([name, value]) => [name, buildArg(context, name) ?? value]));
}

/** What the caller gave for a build argument. */
export function buildArg(context: FrontendContext, name: string): string | undefined {
  const given = Object.hasOwn(context.buildArgs, name) ? context.buildArgs[name] : undefined;
  if (name !== 'SOURCE_DATE_EPOCH' || (given !== undefined && /^\d*$/.test(given))) return given;
  // The name of a context or stage stands for its time; where that has none, nothing is set.
  return context.sourceDateEpoch === undefined ? undefined : String(context.sourceDateEpoch);
}

export function isExported(name: string): boolean {
  return !NOT_EXPORTED.includes(name);
}

/** Given build arguments that no ARG of the file declares and that nothing else reads, sorted. */
export function unusedBuildArgs(context: FrontendContext, declared: Iterable<ArgInstruction>): string[] {
  const known = new Set([...platformArgs(context).keys(), 'SOURCE_DATE_EPOCH']);
  for (const { args } of declared) for (const { key } of args) known.add(key);
  return Object.keys(context.buildArgs)
    .filter((name) => !known.has(name) && !name.startsWith('BUILDKIT_') && !isProxy(name))
    .sort();
}

function isProxy(name: string): boolean {
  return PROXIES.includes(name.toUpperCase()) && (name === name.toUpperCase() || name === name.toLowerCase());
}

function describe(prefix: string, platform: Platform): [string, string][] {
  return [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}OSVERSION`, platform['os.version'] ?? ''],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ''],
  ];
}
