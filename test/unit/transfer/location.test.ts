import { describe, expect, it } from 'vitest';
import { parseLocation } from '../../../src/transfer/location.ts';

const APP = { registry: 'docker.io', repository: 'library/app', tag: 'latest' };

describe('parseLocation()', () => {
  it.each([
    ['docker://app', { type: 'docker', ref: APP }],
    ['store:app:v0', { type: 'store', name: 'app:v0' }],
    ['oci:dir', { type: 'oci', path: 'dir' }],
    ['oci:/a/b:v1', { type: 'oci', path: '/a/b', tag: 'v1' }],
    ['oci-archive:f.tar:v1', { type: 'oci-archive', path: 'f.tar', tag: 'v1' }],
    ['docker-archive:a/f.tar', { type: 'docker-archive', path: 'a/f.tar' }],
    [
      'docker-archive:f.tar:reg.example:5000/a:1',
      {
        type: 'docker-archive',
        path: 'f.tar',
        ref: { registry: 'reg.example:5000', repository: 'a', tag: '1' },
      },
    ],
  ])('reads %s', (text, location) => {
    expect(parseLocation(text)).toEqual(location);
  });

  it.each([
    ['app:v0', /store:app:v0/],
    ['docker:app', /docker:\/\/app/],
    ['oci:', undefined],
    ['', undefined],
  ])('refuses "%s" and says what to write', (text, hint) => {
    const refused = expect.objectContaining({
      code: 'USAGE_INVALID',
      ...(hint === undefined ? {} : { hint: expect.stringMatching(hint) }),
    });
    expect(() => parseLocation(text)).toThrow(refused);
  });
});
