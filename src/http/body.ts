import type { HttpResponse } from './transport.ts';

type TimedBody = Pick<HttpResponse, 'body' | 'timeoutMs'>;

/** The chunks of a body; the clock runs only while we wait for the network, not while the consumer is busy. */
export async function* timedBody({ body, timeoutMs }: TimedBody): AsyncGenerator<Buffer> {
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (;;) {
    const timer = setTimeout(() => {
      body.destroy(Object.assign(new Error(`no bytes within ${timeoutMs} ms`), { code: 'ETIMEDOUT' }));
    }, timeoutMs);
    try {
      const next = await chunks.next();
      if (next.done === true) return;
      clearTimeout(timer);
      yield next.value;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A body as a whole. @param tooLong makes the error for one of more than `maxBytes` */
export async function readBody(
  response: TimedBody,
  { maxBytes, tooLong }: { readonly maxBytes: number; readonly tooLong: () => Error },
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of timedBody(response)) {
    length += chunk.length;
    if (length > maxBytes) {
      response.body.destroy();
      throw tooLong();
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
