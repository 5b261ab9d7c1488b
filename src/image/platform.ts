import { OcibuildError } from '../errors/error.ts';
import type { Platform } from './types.ts';

const ARCHITECTURES: ReadonlySet<string> = new Set([
  '386',
  'amd64',
  'arm',
  'arm64',
  'loong64',
  'mips',
  'mipsle',
  'mips64',
  'mips64le',
  'ppc64',
  'ppc64le',
  'riscv64',
  's390x',
  'wasm',
]);
const SYSTEMS: ReadonlySet<string> = new Set([
  'aix',
  'android',
  'darwin',
  'freebsd',
  'illumos',
  'linux',
  'netbsd',
  'openbsd',
  'plan9',
  'solaris',
  'wasip1',
  'windows',
]);
/** Other names of an architecture → ours, some with the variant that they imply. */
const ALIASES: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  i386: ['386'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
};
/** `process.arch` → architecture, where the words differ. */
const NODE_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle' };
const PART = /^[A-Za-z0-9_.-]+$/;

/**
 * Reads `os/arch[/variant]`, `os(version)/arch`, a lone `arch` (Linux) or a lone `os` (this machine's
 * architecture), and normalises it.
 * @throws PLATFORM_INVALID
 */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().split('/');
  const [, system = '', version] = /^([^(]*)(?:\(([^()]+)\))?$/.exec(parts[0] ?? '') ?? [];
  if (parts.length > 3 || ![system, ...parts.slice(1)].every((part) => PART.test(part))) {
    throw fault(text, 'expected "os/arch" or "os/arch/variant"');
  }
  const [, architecture, variant] = parts;
  const osVersion = version === undefined ? {} : { 'os.version': version };
  if (architecture !== undefined) {
    return normalizePlatform({
      os: system,
      architecture,
      ...osVersion,
      ...(variant === undefined ? {} : { variant }),
    });
  }
  const word = normalizePlatform({ os: system, architecture: system });
  if (SYSTEMS.has(word.os)) return { ...hostPlatform(), os: word.os, ...osVersion };
  if (ARCHITECTURES.has(word.architecture) && version === undefined) return { ...word, os: 'linux' };
  throw fault(text, `"${system}" is neither an operating system nor an architecture`);
}

/** `linux/arm/v7`; `os.version` is left out. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant ? [variant] : [])].join('/');
}

/** What this machine runs in containers: Linux (also under macOS and Windows, in their VM) on its own processor. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: 'linux', architecture: NODE_ARCHITECTURES[process.arch] ?? process.arch });
}

/**
 * Platforms that run on `wanted`, best first: itself, lower versions of the architecture, then the 32-bit one
 * that it also executes (amd64 → 386, arm64 → arm).
 */
function platformVector(wanted: Platform): Platform[] {
  const { os, architecture, variant } = normalizePlatform(wanted);
  const make = (name: string, level?: string): Platform =>
    normalizePlatform({ os, architecture: name, ...(level ? { variant: level } : {}) });
  switch (architecture) {
    case 'amd64': {
      const level = Number(/^v(\d+)$/.exec(variant ?? 'v1')?.[1] ?? 0);
      const same = level === 0 ? [make('amd64', variant)] : [];
      for (let n = level; n >= 1; n--) same.push(make('amd64', `v${n}`));
      return [...same, make('386')];
    }
    case 'arm':
      return armLevels(variant ?? 'v7').map((level) => make('arm', level));
    case 'arm64':
      return [
        ...arm64Levels(variant ?? 'v8').map((level) => make('arm64', level)),
        ...armLevels('v8').map((level) => make('arm', level)),
      ];
    default:
      return [make(architecture, variant)];
  }
}

/**
 * Index of the candidate that runs best on `wanted`, or -1. Of equally good ones the first wins (image-spec
 * image-index.md). Attestations (`unknown/unknown`) never match; a candidate without platform is taken only when
 * it is the sole one of its kind and nothing else matches, and its config must then be checked.
 */
export function selectPlatform(candidates: readonly (Platform | undefined)[], wanted: Platform): number {
  const known = candidates.map((candidate) => candidate && normalizePlatform(candidate));
  const version = wanted['os.version'];
  for (const accepted of platformVector(wanted)) {
    const equal = (candidate: Platform | undefined): candidate is Platform =>
      candidate !== undefined && formatPlatform(candidate) === formatPlatform(accepted);
    const exact = known.findIndex(
      (candidate) => equal(candidate) && sameBuild(candidate['os.version'], version),
    );
    if (exact >= 0) return exact;
    const unversioned = known.findIndex(
      (candidate) => equal(candidate) && (version === undefined || candidate['os.version'] === undefined),
    );
    if (unversioned >= 0) return unversioned;
  }
  const bare = candidates.flatMap((candidate, index) => (candidate === undefined ? [index] : []));
  return bare.length === 1 ? (bare[0] ?? -1) : -1;
}

/** Windows base images run on hosts of the same build: the first three numbers of `10.0.17763.1879`. */
function sameBuild(candidate: string | undefined, wanted: string | undefined): boolean {
  if (candidate === undefined || wanted === undefined) return candidate === wanted;
  return candidate.split('.').slice(0, 3).join('.') === wanted.split('.').slice(0, 3).join('.');
}

function armLevels(variant: string): string[] {
  const level = Number(/^v([5-8])$/.exec(variant)?.[1] ?? 0);
  if (level === 0) return [variant];
  return Array.from({ length: level - 4 }, (_, below) => `v${level - below}`);
}

/** v9.N contains v8.(N+5): Arm's own rule for the two version lines. */
function arm64Levels(variant: string): string[] {
  const [, major, minorText] = /^v([89])(?:\.(\d{1,2}))?$/.exec(variant) ?? [];
  if (major === undefined) return [variant];
  const minor = Number(minorText ?? 0);
  const line = (version: number, from: number): string[] =>
    Array.from({ length: from + 1 }, (_, below) =>
      below === from ? `v${version}` : `v${version}.${from - below}`,
    );
  return major === '9' ? [...line(9, minor), ...line(8, minor + 5)] : line(8, minor);
}

/** The one spelling of a platform: `x86_64` → `amd64`, `arm64/v8` → `arm64`, `arm` → `arm/v7`, `macos` → `darwin`. */
export function normalizePlatform(platform: Platform): Platform {
  const { os, architecture: name, variant: given, ...rest } = platform;
  const lower = name.toLowerCase();
  const [architecture, implied] = ALIASES[lower] ?? [lower];
  const variant = normalVariant(architecture, (implied ?? given ?? '').toLowerCase());
  const system = os.toLowerCase();
  return {
    ...rest,
    os: system === 'macos' ? 'darwin' : system,
    architecture,
    ...(variant ? { variant } : {}),
  };
}

function normalVariant(architecture: string, variant: string): string {
  const prefixed = /^\d/.test(variant) ? `v${variant}` : variant;
  const named = prefixed.replace(/^(v\d+)\.0$/, '$1');
  if (architecture === 'arm') return named || 'v7';
  if (architecture === 'arm64' && named === 'v8') return '';
  if (architecture === 'amd64' && named === 'v1') return '';
  return named;
}

function fault(text: string, why: string): OcibuildError {
  return new OcibuildError('PLATFORM_INVALID', `Cannot read platform "${text}": ${why}`, {
    hint: 'write it as "linux/amd64" or "linux/arm/v7"',
    details: { platform: text },
  });
}
