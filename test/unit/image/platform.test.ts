import { describe, expect, it } from 'vitest';
import {
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  parsePlatform,
  selectPlatform,
} from '../../../src/image/platform.ts';
import type { Platform } from '../../../src/image/types.ts';

describe('parsePlatform()', () => {
  it.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/x86_64', 'linux/amd64'],
    ['linux/x86-64', 'linux/amd64'],
    ['Linux/AMD64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/i386', 'linux/386'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['linux/arm64/v8.0', 'linux/arm64'],
    ['linux/arm64/v9.2', 'linux/arm64/v9.2'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/6', 'linux/arm/v6'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['macos/arm64', 'darwin/arm64'],
    ['arm64', 'linux/arm64'],
    ['armhf', 'linux/arm/v7'],
    ['riscv64', 'linux/riscv64'],
    ['windows', `windows/${hostPlatform().architecture}`],
    [' linux/amd64 ', 'linux/amd64'],
  ])('reads "%s" as %s', (text, want) => {
    expect(formatPlatform(parsePlatform(text))).toBe(want);
  });

  it('keeps the version when the system has one in parentheses', () => {
    expect(parsePlatform('windows(10.0.17763)/amd64')).toEqual({
      os: 'windows',
      architecture: 'amd64',
      'os.version': '10.0.17763',
    });
  });

  it.each(['', '/', 'linux/', '/amd64', 'a/b/c/d', 'linux/a b', 'linux/amd64/', 'potato', 'linux(/amd64'])(
    'refuses "%s" when it is malformed',
    (text) => {
      expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'PLATFORM_INVALID' }));
    },
  );
});

describe('selectPlatform()', () => {
  const select = (candidates: readonly (string | undefined)[], wanted: string): string | undefined => {
    const platforms = candidates.map((text): Platform | undefined => {
      if (text === undefined) return undefined;
      if (text === 'unknown/unknown') return { os: 'unknown', architecture: 'unknown' };
      return parsePlatform(text);
    });
    return candidates[selectPlatform(platforms, parsePlatform(wanted))];
  };

  it.each([
    [['linux/386', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    [['linux/386', 'linux/arm64'], 'linux/amd64', 'linux/386'],
    [['linux/amd64', 'linux/amd64/v2'], 'linux/amd64/v3', 'linux/amd64/v2'],
    [['linux/amd64/v2', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    [['linux/amd64/v4'], 'linux/amd64/v3', undefined],
    [['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7', 'linux/arm/v7'],
    [['linux/arm/v5', 'linux/arm/v6'], 'linux/arm', 'linux/arm/v6'],
    [['linux/arm/v7'], 'linux/arm/v6', undefined],
    [['linux/arm/v6', 'linux/arm64'], 'linux/arm64', 'linux/arm64'],
    [['linux/arm64', 'linux/arm64/v8.2', 'linux/arm64/v9'], 'linux/arm64/v9.1', 'linux/arm64/v9'],
    [['linux/arm64', 'linux/arm64/v8.5'], 'linux/arm64/v9', 'linux/arm64/v8.5'],
    [['linux/arm64/v8.5', 'linux/arm64'], 'linux/arm64', 'linux/arm64'],
    [['windows/amd64', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    [['unknown/unknown', 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    [['unknown/unknown'], 'linux/amd64', undefined],
    [['linux/s390x', undefined], 'linux/amd64', undefined],
    [[], 'linux/amd64', undefined],
  ])('of %j takes for %s: %s', (candidates, wanted, want) => {
    expect(select(candidates, wanted)).toBe(want);
  });

  it('takes the first when several are equally good', () => {
    expect(
      selectPlatform([parsePlatform('arm64'), parsePlatform('linux/arm64/v8')], parsePlatform('arm64')),
    ).toBe(0);
  });

  it('takes a candidate without platform when it is the only one, and none when there are two', () => {
    const wanted = parsePlatform('linux/amd64');
    expect(selectPlatform([parsePlatform('s390x'), undefined], wanted)).toBe(1);
    expect(selectPlatform([undefined, undefined], wanted)).toBe(-1);
  });

  it('compares the build when Windows versions differ in the revision', () => {
    const windows = (version?: string): Platform => ({
      os: 'windows',
      architecture: 'amd64',
      ...(version ? { 'os.version': version } : {}),
    });
    const candidates = [windows('10.0.20348.1'), windows('10.0.17763.99')];
    expect(selectPlatform(candidates, windows('10.0.17763.1'))).toBe(1);
    expect(selectPlatform(candidates, windows('10.0.26100.1'))).toBe(-1);
    expect(selectPlatform([...candidates, windows()], windows('10.0.26100.1'))).toBe(2);
    expect(selectPlatform(candidates, windows())).toBe(0);
  });
});

describe('hostPlatform()', () => {
  it('is a normalised Linux platform when asked on any machine', () => {
    expect(hostPlatform().os).toBe('linux');
    expect(normalizePlatform(hostPlatform())).toEqual(hostPlatform());
  });
});
