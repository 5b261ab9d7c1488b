import { describe, expect, it } from 'vitest';
import { isPassing, RetriableFailure, retryAfterMs, withRetry } from '../../../src/http/retry.ts';
import { isPlain, registryUrl } from '../../../src/registry/address.ts';
import { parseChallenges } from '../../../src/registry/auth.ts';
import { authError } from '../../../src/registry/response-error.ts';
import { createSlots } from '../../../src/util/slots.ts';

const { signal } = new AbortController();

describe('parseChallenges()', () => {
  it.each([
    ['', []],
    ['Bearer realm="https://a/t"', [['bearer', { realm: 'https://a/t' }]]],
    [
      'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
      [['bearer', { realm: 'https://a/t', service: 's', scope: 'repository:a/b:pull,push' }]],
    ],
    [
      'Basic realm="x, y", Bearer realm=plain , Service = "q\\"q"',
      [
        ['basic', { realm: 'x, y' }],
        ['bearer', { realm: 'plain', service: 'q"q' }],
      ],
    ],
    [
      'Negotiate, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    ['realm="orphan"', []],
    ['Bearer realm="unterminated', [['bearer', {}]]],
  ])('reads %s', (header, want) => {
    const got = parseChallenges(header).map(({ scheme, parameters }) => [scheme, parameters]);
    expect(got).toEqual(want);
  });
});

describe('retryAfterMs()', () => {
  it.each([
    [undefined, undefined],
    ['0', 0],
    ['120', 120_000],
    ['Thu, 01 Jan 1970 00:01:00 GMT', 50_000],
    ['Thu, 01 Jan 1970 00:00:05 GMT', 0],
    ['soon', undefined],
  ])('reads %s as %s when it is ten past the epoch', (header, want) => {
    expect(retryAfterMs(header, 10_000)).toBe(want);
  });
});

describe('withRetry()', () => {
  const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

  it.each([
    ['passing failures five times', reset, 5],
    ['busy answers five times', new RetriableFailure(new Error('busy')), 5],
    ['a refused connection once', refused, 1],
    ['other errors once', new TypeError('x'), 1],
    ['a wait of more than a minute once', new RetriableFailure(new Error('busy'), 61_000), 1],
  ])('tries %s', async (_, error, want) => {
    let tries = 0;
    const attempt = async (): Promise<never> => {
      tries++;
      throw error;
    };
    const told = error instanceof RetriableFailure ? error.error : error;
    await expect(withRetry(attempt, { signal, delayMs: 1 })).rejects.toBe(told);
    expect(tries).toBe(want);
  });

  it('is cancelled during its pause when the signal aborts', async () => {
    const controller = new AbortController();
    const done = withRetry(() => Promise.reject(reset), { signal: controller.signal, delayMs: 60_000 });
    setTimeout(() => controller.abort(), 5);
    await expect(done).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(isPassing(reset)).toBe(true);
  });
});

describe('createSlots()', () => {
  it('lets waiters in one by one when places are given back, each place once', async () => {
    const slots = createSlots(1);
    const first = await slots.take(signal);
    const order: number[] = [];
    const waiters = [1, 2].map((n) => slots.take(signal).then((release) => ({ n: order.push(n), release })));
    await Promise.resolve();
    expect(order).toEqual([]);
    first();
    first();
    (await waiters[0])?.release();
    await waiters[1];
    expect(order).toEqual([1, 2]);
  });

  it('forgets a waiter when its signal aborts', async () => {
    const slots = createSlots(1);
    const release = await slots.take(signal);
    const controller = new AbortController();
    const waiting = slots.take(controller.signal);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    release();
    (await slots.take(signal))();
  });

  it('warns of no leak when many wait on one signal', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error): void => void warnings.push(warning);
    process.on('warning', listen);
    const slots = createSlots(1);
    const release = await slots.take(signal);
    const all = Array.from({ length: 30 }, async () => (await slots.take(signal))());
    await new Promise((resolve) => setTimeout(resolve, 5));
    release();
    await Promise.all(all);
    process.off('warning', listen);
    expect(warnings).toEqual([]);
  });
});

describe('registryUrl()', () => {
  it.each([
    ['docker.io', 'https://registry-1.docker.io/'],
    ['ghcr.io', 'https://ghcr.io/'],
    ['localhost', 'http://localhost/'],
    ['localhost:5000', 'http://localhost:5000/'],
    ['127.9.9.9:1', 'http://127.9.9.9:1/'],
    ['[::1]:5000', 'http://[::1]:5000/'],
    ['127.0.0.1.example', 'https://127.0.0.1.example/'],
    ['plain.test', 'http://plain.test/'],
    ['plain.test:5000', 'http://plain.test:5000/'],
    ['port.test:80', 'http://port.test/'],
    ['port.test:81', 'https://port.test:81/'],
  ])('speaks to %s at %s', (registry, want) => {
    expect(registryUrl(registry, ['plain.test', 'port.test:80']).href).toBe(want);
  });

  it('isPlain() refuses other hosts when nothing was said of them', () => {
    expect(isPlain(new URL('http://example.com'), [])).toBe(false);
  });
});

describe('authError()', () => {
  it('names the registry to log in to', () => {
    const { hint } = authError({ action: 'pull "a/b"', registry: 'registry.example:5000' }, 'it is private');
    expect(hint).toMatch(/`ocibuild login registry\.example:5000`$/);
  });
});
