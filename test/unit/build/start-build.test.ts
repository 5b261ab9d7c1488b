import { describe, expect, it } from 'vitest';
import { superviseBuild } from '../../../src/build/start-build.ts';
import type { EventSink, ProgressEvent } from '../../../src/solver/types.ts';

const MIB = 1024 * 1024;

const log = (bytes: number): ProgressEvent => ({
  ...{ kind: 'log', time: 0, vertex: 'a', stream: 'stdout' },
  data: new Uint8Array(bytes),
});
const done: ProgressEvent = { kind: 'completed', time: 0, vertex: 'a' };

/** A build whose events and end are those of the test. */
function held() {
  let emit: EventSink = () => undefined;
  let end = (): void => undefined;
  const job = superviseBuild({}, async (how) => {
    emit = how.emit;
    await new Promise<void>((resolve) => {
      end = resolve;
    });
  });
  return { events: job.events, emit: (event: ProgressEvent) => emit(event), end: () => end() };
}

async function rest(events: AsyncIterator<ProgressEvent>): Promise<string[]> {
  const kinds: string[] = [];
  for (let next = await events.next(); next.done !== true; next = await events.next())
    kinds.push(next.value.kind);
  return kinds;
}

describe('superviseBuild()', () => {
  it('keeps the first 16 MiB of output, and all other events, when nobody iterates', async () => {
    const { events, emit, end } = held();
    for (let i = 0; i < 40; i++) emit(log(MIB));
    emit(done);
    end();
    const kinds = await rest(events());
    expect(kinds.filter((kind) => kind === 'log')).toHaveLength(15);
    expect(kinds.at(-1)).toBe('completed');
  });

  it('ends every loop when several take the events', async () => {
    const { events, emit, end } = held();
    const loops = [rest(events()), rest(events())];
    emit(done);
    await new Promise(setImmediate);
    emit(done);
    end();
    expect((await Promise.all(loops)).flat()).toEqual(['completed', 'completed']);
  });

  it('leaves nothing out while somebody iterates, however slowly, and again when they have stopped', async () => {
    const { events, emit, end } = held();
    const iterator = events();
    emit(log(1));
    await iterator.next();
    for (let i = 0; i < 20; i++) emit(log(MIB));
    const kinds: string[] = [];
    for (let i = 0; i < 20; i++) kinds.push((await iterator.next()).value?.kind);
    expect(kinds).toEqual(Array.from({ length: 20 }, () => 'log'));
    await iterator.return?.();
    for (let i = 0; i < 20; i++) emit(log(MIB));
    end();
    expect(await rest(events())).toHaveLength(15);
  });
});
