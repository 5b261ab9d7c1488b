import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sys } from '../../../../src/layer/sys.ts';
import { removeUnchangedCopies } from '../../../../src/layer/tree/unchanged-copies.ts';
import { createScratch, type Scratch } from '../../../support/layers.ts';

const OPAQUE = 'user.overlay.opaque';
const TIME = 1_500_000_000;

describe.runIf(process.platform === 'linux')('removeUnchangedCopies()', () => {
  let scratch: Scratch;
  let lower: string;
  let upper: string;

  beforeEach(() => {
    scratch = createScratch();
    lower = scratch.path('lower');
    upper = scratch.path('upper');
    mkdirSync(`${lower}/app/sub`, { recursive: true });
    writeFileSync(`${lower}/app/a`, 'aaaa');
    writeFileSync(`${lower}/app/sub/b`, 'bbbb');
    symlinkSync('a', `${lower}/app/l`);
    sys().lutimes(`${lower}/app/l`, { sec: TIME, nsec: 5 });
    for (const path of ['app/a', 'app/sub/b', 'app/sub', 'app', '.']) touch(`${lower}/${path}`);
    // As overlay copies what a chown walks over.
    cpSync(lower, upper, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    sys().lutimes(`${upper}/app/l`, { sec: TIME, nsec: 5 });
    for (const path of ['app/sub', 'app', '.']) touch(`${upper}/${path}`);
  });
  afterEach(() => scratch[Symbol.dispose]());

  const touch = (path: string, time = TIME): void => utimesSync(path, time, time);
  const clean = (below: readonly string[] = [lower]): void =>
    removeUnchangedCopies(upper, below, { opaqueXattr: OPAQUE });
  const left = (): string[] =>
    ['app', 'app/a', 'app/l', 'app/sub', 'app/sub/b', 'new'].filter(
      (path) => lstatSync(`${upper}/${path}`, { throwIfNoEntry: false }) !== undefined,
    );

  it('leaves nothing when all is as below', () => {
    clean();
    expect(left()).toEqual([]);
  });

  it('keeps what is new or changed, with the directories above, whose times stay', () => {
    chmodSync(`${upper}/app/sub/b`, 0o600);
    mkdirSync(`${upper}/new`);
    touch(upper);
    clean();
    expect(left()).toEqual(['app', 'app/sub', 'app/sub/b', 'new']);
    expect(lstatSync(`${upper}/app`).mtimeMs).toBe(TIME * 1000);
  });

  it('leaves the new ones of many files in a directory', () => {
    const many = Array.from({ length: 40 }, (_, i) => `made${i}`);
    for (const name of many) writeFileSync(`${upper}/app/${name}`, name);
    touch(`${upper}/app`);
    clean();
    expect(readdirSync(`${upper}/app`).sort()).toEqual(many.toSorted());
  });

  it('keeps content that differs in nothing else, and a time that does', () => {
    writeFileSync(`${upper}/app/a`, 'AAAA');
    touch(`${upper}/app/a`);
    touch(`${upper}/app/sub`, TIME + 1);
    clean();
    expect(left()).toEqual(['app', 'app/a', 'app/sub']);
  });

  it('keeps other attributes and further names of a file', () => {
    sys().lsetxattr(`${upper}/app/a`, 'user.note', Buffer.from('x'));
    linkSync(`${upper}/app/sub/b`, `${upper}/new`);
    clean();
    expect(left()).toEqual(['app', 'app/a', 'app/sub', 'app/sub/b', 'new']);
  });

  it('compares with what shows, not with what a higher layer hides', () => {
    const top = scratch.path('top');
    mkdirSync(`${top}/app/sub`, { recursive: true });
    sys().lsetxattr(`${top}/app/sub`, OPAQUE, Buffer.from('y'));
    touch(`${top}/app/sub`);
    writeFileSync(`${top}/app/a`, 'other');
    clean([lower, top]);
    expect(left()).toEqual(['app', 'app/a', 'app/sub', 'app/sub/b']);
  });

  it('keeps a directory that hides what is below', () => {
    sys().lsetxattr(`${upper}/app/sub`, OPAQUE, Buffer.from('y'));
    clean();
    expect(left()).toEqual(['app', 'app/sub', 'app/sub/b']);
    expect(existsSync(`${upper}/app/a`)).toBe(false);
  });
});
