import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { openOutput } from '../../../src/cli/containers/output.ts';

function streams() {
  const [stdout, stderr] = [new PassThrough({ highWaterMark: 4 }), new PassThrough()];
  return { stdout, stderr, output: openOutput({ stdout, stderr } as never) };
}

describe('openOutput()', () => {
  it('waits when a stream is full, until it is read', async () => {
    const { stdout, output } = streams();
    expect(output.write('stderr', Buffer.from('x'))).toBeUndefined();
    const wait = output.write('stdout', Buffer.from('many bytes'));
    expect(output.write('stdout', Buffer.from('more'))).toBe(wait);
    let isDone = false;
    void wait?.then(() => {
      isDone = true;
    });
    await new Promise((done) => setImmediate(done));
    expect(isDone).toBe(false);
    stdout.resume();
    await wait;
    expect(isDone).toBe(true);
  });

  it('says that its reader is gone when a pipe breaks, and waits no more', async () => {
    const { stdout, output } = streams();
    const wait = output.write('stdout', Buffer.from('many bytes'));
    stdout.emit('error', Object.assign(new Error('EPIPE'), { code: 'EPIPE' }));
    await wait;
    expect(output.gone.aborted).toBe(true);
    expect(output.write('stdout', Buffer.from('many bytes'))).toBeUndefined();
  });
});
