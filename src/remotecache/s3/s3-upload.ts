import type { Descriptor } from '../../image/types.ts';
import type { OpenPart } from '../../registry/types.ts';
import type { Slots } from '../../util/slots.ts';
import { type PutBlobOptions, sendParts } from '../blob-parts.ts';
import { tagText } from '../service-error.ts';
import { encodeKey, readS3Xml, type S3Client } from './s3-client.ts';

export interface S3UploadDeps {
  readonly client: S3Client;
  readonly bucket: string;
  /** Parts that are sent, and so in memory, at once. */
  readonly slots: Slots;
  /** Smallest size of a part; S3 takes no smaller ones than 5 MiB. @default 8 MiB */
  readonly partBytes?: number;
  /** Objects up to here are copied in one request. @default 5 GiB, S3's own limit */
  readonly maxCopyBytes?: number;
}

const PART_BYTES = 8 << 20;
/** @see Amazon S3 User Guide §Multipart upload limits */
const MAX_PARTS = 10_000;
const MAX_COPY_BYTES = 5 * 2 ** 30;
/** How long the end of a failed upload may take; the build may be cancelled already. */
const ABORT_TIMEOUT_MS = 10_000;

/** Part number and the server's mark of it. */
type Done = readonly [number: number, etag: string];

/** Writes an object: in one request where it is small, else in parts. The server gets the digest of each request's body.
 * Nothing stays of an upload that fails. @throws CACHE_*, BLOB_* */
export async function putS3Object(
  deps: S3UploadDeps,
  key: string,
  blob: PutBlobOptions & { readonly descriptor: Descriptor; readonly open: OpenPart },
): Promise<void> {
  const { client, slots } = deps;
  const { descriptor, open, signal, onProgress } = blob;
  const partBytes = Math.max(deps.partBytes ?? PART_BYTES, Math.ceil(descriptor.size / MAX_PARTS));
  const action = `write "${key}"`;
  if (descriptor.size <= partBytes) {
    await sendParts(descriptor, {
      ...{ open, partBytes, slots, signal, onProgress },
      async send({ bytes }, partSignal) {
        const call = { method: 'PUT', key, body: bytes, action, signal: partSignal } as const;
        await client.call(call, async ({ body }) => void body.resume());
      },
    });
    return;
  }
  await inParts(deps, { key, signal }, (uploadId, done) =>
    sendParts(descriptor, {
      ...{ open, partBytes, slots, signal, onProgress },
      async send({ bytes, index }, partSignal) {
        const query = { partNumber: String(index + 1), uploadId };
        const call = { method: 'PUT', key, query, body: bytes, action, signal: partSignal } as const;
        await client.call(call, async ({ headers, body }) => {
          body.resume();
          done.push([index + 1, headers.etag ?? '']);
        });
      },
    }),
  );
}

/** Makes an object young again, so that a rule which deletes old ones spares it: it is copied onto itself. */
export async function touchS3Object(
  deps: S3UploadDeps,
  { key, size }: { readonly key: string; readonly size: number },
  signal: AbortSignal,
): Promise<void> {
  const max = deps.maxCopyBytes ?? MAX_COPY_BYTES;
  const source = { 'x-amz-copy-source': `/${deps.bucket}/${encodeKey(key)}` };
  const action = `touch "${key}"`;
  if (size <= max) {
    // S3 refuses a copy onto itself that changes nothing.
    const changed = { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-touched': new Date().toISOString() };
    const call = { method: 'PUT', key, headers: { ...source, ...changed }, action, signal } as const;
    await deps.client.call(call, async (response) => void (await readS3Xml(response, action)));
    return;
  }
  await inParts(deps, { key, signal }, async (uploadId, done) => {
    for (let offset = 0, number = 1; offset < size; offset += max, number++) {
      const range = `bytes=${offset}-${Math.min(offset + max, size) - 1}`;
      const query = { partNumber: String(number), uploadId };
      const headers = { ...source, 'x-amz-copy-source-range': range };
      const call = { method: 'PUT', key, query, headers, action, signal } as const;
      const xml = await deps.client.call(call, (response) => readS3Xml(response, action));
      done.push([number, tagText(xml, 'ETag') ?? '']);
    }
  });
}

/** @see Amazon S3 User Guide §Uploading and copying objects using multipart upload */
async function inParts(
  { client }: S3UploadDeps,
  { key, signal }: { readonly key: string; readonly signal: AbortSignal },
  send: (uploadId: string, done: Done[]) => Promise<void>,
): Promise<void> {
  const action = `write "${key}"`;
  const uploadId = await client.call(
    { method: 'POST', key, query: { uploads: '' }, action, signal },
    async (response) => tagText(await readS3Xml(response, action), 'UploadId') ?? '',
  );
  const done: Done[] = [];
  try {
    await send(uploadId, done);
    const list = done
      .sort(([a], [b]) => a - b)
      .map(
        ([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
      );
    const body = Buffer.from(`<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`);
    const call = { method: 'POST', key, query: { uploadId }, body, action, signal } as const;
    await client.call(call, (response) => readS3Xml(response, action));
  } catch (error) {
    // Parts that belong to no object cost their owner money for ever.
    const soon = AbortSignal.timeout(ABORT_TIMEOUT_MS);
    await client
      .call(
        { method: 'DELETE', key, query: { uploadId }, action, signal: soon },
        async ({ body }) => void body.resume(),
      )
      .catch(() => undefined);
    throw error;
  }
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
