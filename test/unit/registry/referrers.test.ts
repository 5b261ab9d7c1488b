import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { digestBytes } from '../../../src/image/digest.ts';
import { MEDIA_TYPE } from '../../../src/image/types.ts';
import { createResolver } from '../../../src/registry/resolver.ts';

const signal = new AbortController().signal;
const DIGEST = digestBytes('image');

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** A registry that answers by a table: `METHOD path` → answer; everything else is 404. */
async function serve(table: Readonly<Record<string, Answer>>) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const line = `${request.method} ${request.url}`;
    asked.push(line);
    const { status = 200, headers = {}, body } = table[line] ?? { status: 404 };
    request.resume();
    response.writeHead(status, { 'content-type': MEDIA_TYPE.index, ...headers });
    response.end(body === undefined ? '' : JSON.stringify(body));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { find: async () => undefined } as never;
  return { asked, ref: { registry, repository: 'app' }, resolver: createResolver({ env: {}, credentials }) };
}

const entry = (text: string) => ({ mediaType: MEDIA_TYPE.manifest, digest: digestBytes(text), size: 4 });
const indexOf = (...texts: string[]) => ({ schemaVersion: 2, manifests: texts.map(entry) });
const LIST = `GET /v2/app/referrers/${DIGEST}`;
const TAG = `/v2/app/manifests/${DIGEST.replace(':', '-')}`;

describe('referrers()', () => {
  it('follows the pages of a list', async () => {
    const next = { link: `</v2/app/referrers/${DIGEST}?n=2>; rel="next"` };
    const { resolver, ref } = await serve({
      [LIST]: { headers: next, body: indexOf('one') },
      [`${LIST}?n=2`]: { body: indexOf('two') },
    });
    const found = await resolver.referrers(ref, DIGEST, { signal });
    expect(found.map(({ digest }) => digest)).toEqual(['one', 'two'].map(digestBytes));
  });

  it.each<[string, Record<string, Answer>, string[]]>([
    ['there is neither list nor tag', {}, []],
    ['there is only the tag', { [`GET ${TAG}`]: { body: indexOf('one') } }, ['one']],
    [
      'the list is a page for people',
      { [LIST]: { headers: { 'content-type': 'text/html' } }, [`GET ${TAG}`]: { body: indexOf('one') } },
      ['one'],
    ],
  ])('asks for the tag when %s', async (_, table, texts) => {
    const { resolver, ref } = await serve(table);
    expect(await resolver.referrers(ref, DIGEST, { signal })).toEqual(texts.map(entry));
  });

  it('refuses a list that is none', async () => {
    const { resolver, ref } = await serve({ [LIST]: { body: { schemaVersion: 2 } } });
    await expect(resolver.referrers(ref, DIGEST, { signal })).rejects.toMatchObject({
      code: 'REGISTRY_RESPONSE_INVALID',
    });
  });
});

describe('pushManifest()', () => {
  const subject = { mediaType: MEDIA_TYPE.manifest, digest: DIGEST, size: 5 };
  const config = { mediaType: MEDIA_TYPE.config, digest: digestBytes('{}'), size: 2 };
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: [], subject }));
  const artifact = { mediaType: MEDIA_TYPE.manifest, digest: digestBytes(bytes), size: bytes.length };
  const put = `PUT /v2/app/manifests/${artifact.digest}`;

  it('leaves the list to a registry that keeps one', async () => {
    const { resolver, ref, asked } = await serve({
      [put]: { status: 201, headers: { 'oci-subject': DIGEST } },
    });
    await resolver.pusher(ref).pushManifest(artifact, bytes, { signal });
    expect(asked).toEqual([put]);
  });

  it('lists what has a subject itself where the registry does not', async () => {
    const { resolver, ref, asked } = await serve({
      [put]: { status: 201 },
      [`PUT ${TAG}`]: { status: 201 },
    });
    await resolver.pusher(ref).pushManifest(artifact, bytes, { signal });
    expect(asked).toEqual([put, `GET ${TAG}`, `PUT ${TAG}`]);
  });
});
