import { describe, expect, it } from 'vitest';
import type { Output } from '../../../src/build/options.ts';
import { carriesAttestations, readAttestations } from '../../../src/build/outputs/attest-options.ts';
import { parseAttestFlags } from '../../../src/cli/build/attest-flags.ts';

const parse = (given: { attest?: string[]; provenance?: string; sbom?: string }) =>
  parseAttestFlags({ attest: [], provenance: undefined, sbom: undefined, ...given });
const read = (given: Parameters<typeof parse>[0]) => readAttestations(parse(given));

describe('parseAttestFlags()', () => {
  it.each([
    [{ provenance: 'true' }, [{ type: 'provenance' }]],
    [{ provenance: 'false' }, [{ type: 'provenance', disabled: true }]],
    [
      { provenance: 'mode=max,builder-id=https://b/1,reproducible=true,version=v0.2' },
      [{ type: 'provenance', mode: 'max', builderId: 'https://b/1', reproducible: true, version: 'v0.2' }],
    ],
    [{ sbom: 'true' }, [{ type: 'sbom' }]],
    [{ sbom: 'format=cyclonedx' }, [{ type: 'sbom', format: 'cyclonedx' }]],
    [
      { attest: ['type=provenance,mode=min,inline-only=true', 'type=sbom,filename=x.json'] },
      [
        { type: 'provenance', mode: 'min', inlineOnly: true },
        { type: 'sbom', filename: 'x.json' },
      ],
    ],
    [{}, []],
  ])('reads %j', (given, expected) => {
    expect(parse(given)).toEqual(expected);
  });

  it.each([
    [{ provenance: 'max' }, 'expected true, false or attributes', 'write --provenance=mode=max'],
    [{ provenance: 'mode=huge' }, 'expected min or max', undefined],
    [{ provenance: 'version=v9' }, 'expected v1 or v0.2', undefined],
    [{ provenance: 'reproducable=true' }, 'Cannot use "reproducable"', 'did you mean "reproducible"?'],
    [{ provenance: 'reproducible=maybe' }, 'expected true or false', undefined],
    [{ attest: ['mode=max'] }, 'its type is missing', 'write type=provenance or type=sbom'],
    [{ attest: ['type=sbon'] }, 'expected provenance or sbom', 'did you mean "sbom"?'],
  ])('refuses %j', (given, message, hint) => {
    const refused = { code: 'USAGE_INVALID', message: expect.stringContaining(message) as string };
    expect(() => parse(given)).toThrow(
      expect.objectContaining(hint === undefined ? refused : { ...refused, hint }),
    );
  });

  it('refuses scanner images, which are not run', () => {
    expect(() => parse({ sbom: 'generator=docker/scout' })).toThrow(
      expect.objectContaining({ code: 'USAGE_UNSUPPORTED' }),
    );
  });
});

describe('readAttestations()', () => {
  it('fills in the defaults of buildx: provenance without a mode is max', () => {
    expect(read({ provenance: 'true', sbom: 'true', attest: ['type=sbom,format=cyclonedx'] })).toEqual({
      provenance: {
        ...{ mode: 'max', version: 'v1', builderId: '', reproducible: false, inlineOnly: false },
        filename: 'provenance.json',
      },
      sboms: [
        { format: 'spdx', filename: 'sbom.spdx.json' },
        { format: 'cyclonedx', filename: 'sbom.cdx.json' },
      ],
    });
    expect(read({ provenance: 'false', sbom: 'false' })).toEqual({ provenance: undefined, sboms: [] });
  });

  it('takes the same twice, and refuses two ways of the same', () => {
    expect(read({ provenance: 'mode=min', attest: ['type=provenance,mode=min'] }).provenance?.mode).toBe(
      'min',
    );
    for (const given of [
      { provenance: 'mode=max', attest: ['type=provenance,mode=min'] },
      { sbom: 'false', attest: ['type=sbom'] },
    ]) {
      expect(() => read(given)).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    }
  });

  it.each(['../x', 'a/b', '..'])('refuses the filename %s', (filename) => {
    expect(() => read({ attest: [`type=sbom,filename=${filename}`] })).toThrow('expected the name of a file');
  });
});

describe('carriesAttestations()', () => {
  const carries = (output: Output, given: Parameters<typeof parse>[0]) =>
    carriesAttestations(output, read(given));

  it('leaves out Docker archives, and provenance that is for inline outputs', () => {
    const archive: Output = { type: 'oci', dest: 'x' };
    expect(carries(archive, {})).toBe(false);
    expect(carries(archive, { provenance: 'true' })).toBe(true);
    expect(carries({ type: 'docker' }, { provenance: 'true', sbom: 'true' })).toBe(false);
    expect(carries({ type: 'cacheonly' }, { sbom: 'true' })).toBe(false);
    expect(carries({ type: 'local', dest: 'x' }, { sbom: 'true' })).toBe(true);
    const inline: Output = { type: 'store', attestationInline: true };
    expect(carries({ type: 'store' }, { provenance: 'inline-only=true' })).toBe(false);
    expect(carries(inline, { provenance: 'inline-only=true' })).toBe(true);
    expect(carries({ type: 'store' }, { provenance: 'inline-only=true', sbom: 'true' })).toBe(true);
  });
});
