import type { Reference } from '../image/reference.ts';
import type { Slots } from '../util/slots.ts';
import { protocolError, type RegistryClient } from './client.ts';
import { addReferrer, referrerOf } from './referrers.ts';
import type { Pusher } from './types.ts';
import { uploadBlob } from './upload.ts';

export interface PusherDeps {
  readonly client: RegistryClient;
  readonly ref: Reference;
  readonly slots: Slots;
  readonly retryDelayMs: number;
}

/** Writes to one repository. The order is the caller's: blobs, manifests, indexes, tags last. */
export function createPusher({ client, ref, slots, retryDelayMs }: PusherDeps): Pusher {
  // One index holds all referrers of an image: whoever changes it waits for whoever does.
  let listed: Promise<void> = Promise.resolve();
  return {
    async pushBlob(descriptor, open, { signal, mountFrom, onProgress }) {
      const release = await slots.take(signal);
      try {
        return await uploadBlob(
          { client, retryDelayMs },
          {
            ...{ ref, descriptor, open, signal },
            ...(mountFrom === undefined ? {} : { mountFrom }),
            ...(onProgress === undefined ? {} : { onProgress }),
          },
        );
      } finally {
        release();
      }
    },
    async pushManifest(descriptor, bytes, { signal, tag }) {
      const call = {
        ref,
        method: 'PUT',
        path: `manifests/${tag ?? descriptor.digest}`,
        headers: { 'content-type': descriptor.mediaType, 'content-length': String(bytes.length) },
        body: () => bytes,
        actions: 'pull,push',
        signal,
      } as const;
      const isListed = await client.call(call, async ({ body, headers }) => {
        body.resume();
        const told = headers['docker-content-digest'];
        if (told !== undefined && told !== descriptor.digest) {
          throw protocolError(ref, `it stored "${told}" instead of "${descriptor.digest}"`, 'pull,push');
        }
        return headers['oci-subject'] !== undefined;
      });
      const found = isListed ? undefined : referrerOf(bytes, descriptor.mediaType);
      if (found === undefined) return;
      const { subject: digest, referrer } = found;
      listed = listed
        .catch(() => undefined)
        .then(() => addReferrer(client, { ref, digest, signal }, referrer));
      await listed;
    },
  };
}
