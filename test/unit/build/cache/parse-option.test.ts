import { describe, expect, it } from 'vitest';
import { parseCacheFrom, parseCacheTo } from '../../../../src/build/cache/parse-option.ts';

describe('parseCacheFrom()', () => {
  it('takes only a name as a cache in a registry', () => {
    expect(parseCacheFrom('reg.example/app:cache')).toEqual({
      type: 'registry',
      ref: 'reg.example/app:cache',
    });
  });

  it('passes over what only --cache-to has, and the other way round', () => {
    const text = 'type=local,src=a,dest=b,tag=t,mode=max';
    expect(parseCacheFrom(text)).toEqual({ type: 'local', src: 'a', tag: 't' });
    expect(parseCacheTo(text)).toEqual({ type: 'local', dest: 'b', tag: 't', mode: 'max' });
    expect(() => parseCacheFrom('type=registry,ref=r,dest=b')).toThrow('Cannot use "dest"');
  });

  it('reads quoted fields', () => {
    expect(parseCacheFrom('type=local,"src=a,b"')).toEqual({ type: 'local', src: 'a,b' });
  });
});

describe('parseCacheTo()', () => {
  it('reads what every kind of place takes', () => {
    const content = 'mode=max,ignore-error=true,on-failure=t,mounts=a,b,compression=zstd,compression-level=3';
    expect(parseCacheTo(`type=registry,ref=r,${content},force-compression=1,image-manifest=false`)).toEqual({
      ...{ type: 'registry', ref: 'r', mode: 'max', ignoreError: true, onFailure: true, mounts: ['a', 'b'] },
      ...{ compression: 'zstd', compressionLevel: 3, forceCompression: true, imageManifest: false },
    });
    expect(parseCacheTo('type=local,dest=d,tag=t,reset=true,"mounts=a,b"')).toEqual({
      ...{ type: 'local', dest: 'd', tag: 't', reset: true, mounts: ['a', 'b'] },
    });
    expect(parseCacheTo('type=inline')).toEqual({ type: 'inline' });
  });

  it.each([
    ['', 'Cannot use an empty --cache-to', undefined],
    ['ref=x', 'its type is missing', 'registry'],
    ['type=registry', '"ref" is missing', 'ref='],
    ['type=registry,ref=x,mdoe=max', 'Cannot use "mdoe"', 'did you mean "mode"?'],
    ['type=inline,ref=x', 'Cannot use "ref" with --cache-to type=inline', 'it takes mode'],
    ['type=local,dest=d,mode=most', 'expected min or max', undefined],
    ['type=local,dest=d,reset=maybe', 'expected true or false', undefined],
    ['type=local,dest=d,compression=lz4', 'expected gzip', undefined],
    ['type=local,dest=d,oops', 'KEY=VALUE', undefined],
    ['type=local,dest=d,dest=e', 'stands twice', undefined],
    ['type=toString', 'expected registry', undefined],
    ['type=regsitry,ref=x', 'expected registry', 'did you mean "registry"?'],
    ['type=azblob,name=x', 'Azure', undefined],
  ])('refuses "%s"', (text, message, hint) => {
    expect(() => parseCacheTo(text)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(message),
        ...(hint === undefined ? {} : { hint: expect.stringContaining(hint) }),
      }),
    );
  });
});
