import { describe, expect, it } from 'vitest';
import { createSessionContexts } from '../../../../src/build/session/context-memory.ts';
import type { ContextScan } from '../../../../src/cache/contexts/context-types.ts';

/** A scan that writes down what it is asked for. */
function fakeScan(log: string[], missed: readonly string[] = []): ContextScan {
  return {
    dir: '/p',
    again(changed: ReadonlySet<string>) {
      log.push(`again ${[...changed].join(' ')}`);
      return fakeScan(log);
    },
    differences: () => missed,
    entries: ['', 'a', 'b'].map((path) => ({ path })),
  } as unknown as ContextScan;
}

describe('createSessionContexts()', () => {
  it('looks again only at what was noted inside the context', () => {
    const log: string[] = [];
    const contexts = createSessionContexts();
    const make = () => {
      log.push('whole');
      return fakeScan(log);
    };
    contexts.scan('one', make);
    contexts.scan('one', make);
    contexts.note(['/p/a', '/p/b/c', '/q/d', '/pp/e']);
    contexts.scan('one', make);
    contexts.scan('one', make);
    expect(log).toEqual(['whole', 'again a b/c']);
  });

  it('walks everything when nothing can be trusted, or too much has changed', () => {
    const log: string[] = [];
    const contexts = createSessionContexts();
    const make = () => {
      log.push('whole');
      return fakeScan(log);
    };
    contexts.scan('one', make);
    contexts.note(undefined);
    contexts.note(['/p/a']);
    contexts.scan('one', make);
    contexts.note(Array.from({ length: 2001 }, (_, i) => `/p/${i}`));
    contexts.scan('one', make);
    expect(log).toEqual(['whole', 'whole', 'whole']);
  });

  it('forgets a scan that failed, and one that no build asks for', () => {
    const log: string[] = [];
    const contexts = createSessionContexts();
    contexts.scan('one', () => fakeScan(log));
    contexts.note(undefined);
    expect(() =>
      contexts.scan('one', () => {
        throw new Error('gone');
      }),
    ).toThrow('gone');
    contexts.scan('one', () => fakeScan(['new']));
    contexts.trim();
    contexts.begin();
    contexts.trim();
    let isMade = false;
    contexts.scan('one', () => {
      isMade = true;
      return fakeScan(log);
    });
    expect(isMade).toBe(true);
  });

  it('gives what differs and was not noted, with whole paths', () => {
    const contexts = createSessionContexts();
    contexts.scan('one', () => fakeScan([], ['', 'a/b']));
    expect(contexts.differences()).toEqual(['/p', '/p/a/b']);
    contexts.note(undefined);
    expect(contexts.differences()).toEqual(['/p', '/p/a/b']);
  });

  it('compares only what the last build looked at, when that failed early', () => {
    const contexts = createSessionContexts();
    contexts.scan('one', () => fakeScan([], ['a']));
    contexts.begin();
    expect(contexts.differences()).toEqual([]);
  });

  it('does not tell once more what was noted after a failure', () => {
    const log: string[] = [];
    const contexts = createSessionContexts();
    contexts.scan('one', () => fakeScan(log, ['a']));
    contexts.note(undefined);
    contexts.note(['/p/a']);
    expect(contexts.differences()).toEqual([]);
    expect(log).toEqual(['again a']);
  });

  it('knows what was there, unless it has changed since', () => {
    const contexts = createSessionContexts();
    contexts.scan('one', () => fakeScan([]));
    expect(contexts.saw('/p/a')).toBe(true);
    expect(contexts.saw('/p/c')).toBe(false);
    expect(contexts.saw('/elsewhere')).toBe(true);
    contexts.note(['/p/c']);
    expect(contexts.saw('/p/c')).toBe(true);
    contexts.note(undefined);
    expect(contexts.saw('/p/d')).toBe(true);
  });
});
