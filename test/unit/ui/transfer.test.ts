import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { OcibuildError } from '../../../src/errors/error.ts';
import type { TransferEvent } from '../../../src/transfer/types.ts';
import { openTransferPrinter, type TransferPrinter } from '../../../src/ui/transfer.ts';
import { createFakeScreen } from '../../support/fake-screen.ts';

const eventFor = (character: string, current: number, result?: 'copied' | 'exists'): TransferEvent => ({
  descriptor: { mediaType: 'x', digest: `sha256:${character.repeat(64)}`, size: 2_000_000 },
  current,
  ...(result === undefined ? {} : { result }),
});

async function start(env: Record<string, string>) {
  const screen = createFakeScreen(80, 24);
  const words = { running: 'Pushing', done: 'Pushed' };
  const printer: TransferPrinter = await openTransferPrinter({
    ...{ stream: screen.stream, env, words },
    name: 'registry/app:v1',
  });
  return { screen, printer };
}

describe('openTransferPrinter()', () => {
  it('writes a line for each part that is done when nobody looks at a terminal', async () => {
    const { screen, printer } = await start({ CI: 'true' });
    printer.event(eventFor('a', 1000));
    printer.event(eventFor('a', 2_000_000, 'copied'));
    printer.event(eventFor('b', 2_000_000, 'exists'));
    await printer.finish();
    expect(await screen.text()).toBe(
      'sha256:aaaaaaaaaaaa      2.00MB  done\nsha256:bbbbbbbbbbbb      2.00MB  already there',
    );
  });

  it('draws bars on a terminal, and leaves the parts in the end', async () => {
    const { screen, printer } = await start({ NO_COLOR: '1' });
    printer.event(eventFor('a', 500_000));
    printer.event(eventFor('b', 2_000_000, 'exists'));
    for (let i = 0; i < 400 && !(await screen.visible()).includes('Pushing'); i++) await delay(50);
    expect(await screen.visible()).toMatch(
      /^\[\+\] Pushing .*\n▸ registry\/app:v1 .*\n.* 2\.50MB \/ 4\.00MB\n {4}a{12} +━━━━─+ {2}500\.00kB \/ 2\.00MB$/,
    );
    printer.event(eventFor('a', 2_000_000, 'copied'));
    await printer.finish();
    expect(await screen.text()).toMatch(
      /^\[\+\] Pushed .*\n✓ registry\/app:v1 .*\n {4}sha256:b{12} .* already there\n {4}sha256:a{12} .* done$/,
    );
  });

  it('says how it ended when it did not go well, and nothing when nothing moved', async () => {
    const { screen, printer } = await start({ NO_COLOR: '1' });
    printer.event(eventFor('a', 500_000));
    await printer.finish(new OcibuildError('REGISTRY_UNREACHABLE', 'Cannot reach it'));
    expect(await screen.text()).toMatch(/^\[\+\] Failed .*\n✗ registry\/app:v1 /);
    const other = await start({});
    await other.printer.finish();
    expect(await other.screen.text()).toBe('');
  });
});
