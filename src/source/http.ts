import { createHash, type Hash } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import type { ContentStore } from '../cache/types.ts';
import { cancelledError, isOcibuildError, OcibuildError, throwIfAborted } from '../errors/error.ts';
import { redact } from '../errors/redact.ts';
import { timedBody } from '../http/body.ts';
import { openResumedBody, rangeFrom } from '../http/resumed-body.ts';
import { isBusy, RetriableFailure, retryAfterMs, withRetry } from '../http/retry.ts';
import { createTransport, type HttpResponse } from '../http/transport.ts';
import { describeFailure, isCertificateFault } from '../http/words.ts';
import type { Digest } from '../image/types.ts';
import type { HttpSource } from '../llb/ops.ts';
import { errnoOf } from '../util/atomic-fs.ts';
import { createBatchWriter } from '../util/batch-writer.ts';
import type {
  Download,
  DownloadReport,
  DownloadRow,
  DownloadRows,
  Downloads,
  RemoteMemory,
  SecretValue,
} from './types.ts';

export interface DownloadsDeps {
  readonly content: ContentStore;
  /** Asked for when the first request is due. */
  readonly rows: () => DownloadRows;
  readonly secret: SecretValue;
  /** @param url without credentials */
  readonly report?: (url: string) => DownloadReport;
  /** Of earlier builds: what it names is not asked for again. */
  readonly memory?: Pick<RemoteMemory, 'downloads'>;
  /** Proxy variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Pause before the second try; it doubles up to eight times that. @default 1000 */
  readonly retryDelayMs?: number;
  /** How long to wait for an answer, or for the next bytes of one. @default 60_000 */
  readonly timeoutMs?: number;
}

interface Attempt {
  readonly report: DownloadReport | undefined;
  readonly signal: AbortSignal;
}

/** Gathered before they are written. */
const BATCH_BYTES = 512 << 10;

/**
 * Files of http and https servers, kept in the store. An address that is known costs one conditional request; one
 * with a checksum that the store can answer costs none.
 */
export function createDownloads(deps: DownloadsDeps): Downloads {
  const { content, env, retryDelayMs: delayMs = 1000, timeoutMs = 60_000 } = deps;
  // A server may send its readers wherever it likes: what must be of a certain content has a checksum.
  const mayBePlain = (): boolean => true;
  const transport = createTransport({ env, mayBePlain, errorCode: 'DOWNLOAD_FAILED', timeoutMs });
  const running = new Map<string, Promise<Download>>();
  /** Came or were compared in this build. */
  const sound = new Set<Digest>();

  async function fetch(source: HttpSource, signal: AbortSignal): Promise<Download> {
    const rows = deps.rows();
    const key = keyOf(source.url);
    const row = rows.get(key);
    const known = row !== undefined && content.stat(row.digest) === row.size ? row : undefined;
    const pinned = await fromChecksum(source.checksum, known);
    if (pinned !== undefined) return pinned;
    const isFresh = known !== undefined && deps.memory?.downloads.has(key) === true;
    if (isFresh && (await matches(source.checksum, known))) return downloadOf(known);
    const shown = redact(source.url);
    const report = deps.report?.(shown);
    try {
      const found = await withRetry(() => attempt(source, known, { report, signal }), { signal, delayMs });
      rows.put(found);
      deps.memory?.downloads.add(key);
      report?.end({ size: found.size });
      return downloadOf(found);
    } catch (error) {
      const known = signal.aborted ? cancelledError(signal) : connectionError(error, shown);
      report?.end({ error: known });
      throw known;
    }
  }

  async function attempt(
    source: HttpSource,
    known: DownloadRow | undefined,
    { report, signal }: Attempt,
  ): Promise<DownloadRow> {
    const url = new URL(source.url);
    url.hash = '';
    const get = (headers: Readonly<Record<string, string>>): Promise<HttpResponse> =>
      transport({
        method: 'GET',
        url,
        headers: { 'accept-encoding': 'identity', ...authorization(url, deps.secret), ...headers },
        signal,
      });
    const response = await get(conditions(known));
    if (known !== undefined && isUnchanged(response, known)) {
      response.body.destroy();
      if (await matches(source.checksum, known)) return known;
      throw mismatch(source, known.digest);
    }
    if (response.status !== 200) throw refusal(response, redact(source.url));
    const body = await bodyOf(response, get, { shown: redact(source.url), signal });
    return keep(source, { response, body }, { report, signal });
  }

  /** The bytes of an answer, taken up where they broke as long as the server has the same content still. */
  async function bodyOf(
    response: HttpResponse,
    get: (headers: Readonly<Record<string, string>>) => Promise<HttpResponse>,
    { shown, signal }: { readonly shown: string; readonly signal: AbortSignal },
  ): Promise<AsyncIterable<Buffer>> {
    const size = Number(response.headers['content-length'] ?? Number.NaN);
    const validator = validatorOf(response);
    if (validator === undefined || Number.isNaN(size)) return timedBody(response);
    return openResumedBody({
      ...{ size, offset: 0, signal },
      retryDelayMs: delayMs,
      async request(offset) {
        if (offset === 0) return response;
        const rest = await get({ ...rangeFrom(offset), 'if-range': validator });
        if (rest.status === 206 || (rest.status === 200 && validatorOf(rest) === validator)) return rest;
        if (rest.status !== 200 && rest.status !== 416) throw refusal(rest, shown);
        rest.body.destroy();
        throw new RetriableFailure(failed(shown, 'its content changed while it was read'));
      },
      invalid: (why) => failed(shown, why.replace(/^blob\b/, 'the file')),
      broken: (error) => (error instanceof Error ? error : new Error(String(error))),
    });
  }

  /** Streams the body into the store. */
  async function keep(
    source: HttpSource,
    { response, body }: { readonly response: HttpResponse; readonly body: AsyncIterable<Buffer> },
    { report, signal }: Attempt,
  ): Promise<DownloadRow> {
    const length = response.headers['content-length'];
    const total = length === undefined ? undefined : Number(length);
    const hash = createHash('sha256');
    const wanted = otherHash(source.checksum);
    const temp = content.tempFile();
    let size = 0;
    try {
      const file = createBatchWriter(temp, { batchBytes: BATCH_BYTES });
      try {
        for await (const chunk of body) {
          throwIfAborted(signal);
          hash.update(chunk);
          wanted?.hash.update(chunk);
          size += chunk.length;
          report?.bytes(size, total);
          await file.write(chunk);
        }
        await file.flush();
      } finally {
        await file.close();
      }
      const digest: Digest = `sha256:${hash.digest('hex')}`;
      const actual = wanted === undefined ? digest : `${wanted.name}:${wanted.hash.digest('hex')}`;
      if (source.checksum !== undefined && actual !== source.checksum) throw mismatch(source, actual);
      content.ingest(temp, digest, size);
      sound.add(digest);
      const { etag, 'last-modified': lastModified } = response.headers;
      return { url: keyOf(source.url), digest, size, etag, lastModified };
    } catch (error) {
      throw errnoOf(error) === 'ENOSPC' ? diskFull(temp, error) : error;
    } finally {
      rmSync(temp, { force: true });
      response.body.destroy();
    }
  }

  /** The content that a checksum names, without asking anybody. */
  async function fromChecksum(
    checksum: string | undefined,
    known: DownloadRow | undefined,
  ): Promise<Download | undefined> {
    if (checksum === undefined) return undefined;
    if (known !== undefined && (await matches(checksum, known))) return downloadOf(known);
    if (!/^sha256:[0-9a-f]{64}$/.test(checksum)) return undefined;
    const digest = checksum as Digest;
    const size = content.stat(digest);
    return size === undefined
      ? undefined
      : { digest, size, path: content.path(digest), modifiedSec: undefined };
  }

  async function isSound({ digest, path }: Download): Promise<boolean> {
    if (sound.has(digest)) return true;
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk);
    if (`sha256:${hash.digest('hex')}` !== digest) return false;
    sound.add(digest);
    return true;
  }

  async function matches(checksum: string | undefined, { digest }: DownloadRow): Promise<boolean> {
    const other = otherHash(checksum);
    if (other === undefined) return checksum === undefined || checksum === digest;
    for await (const chunk of createReadStream(content.path(digest))) other.hash.update(chunk);
    return `${other.name}:${other.hash.digest('hex')}` === checksum;
  }

  function downloadOf({ digest, size, lastModified }: DownloadRow): Download {
    const modifiedMs = Date.parse(lastModified ?? '');
    return {
      digest,
      size,
      path: content.path(digest),
      modifiedSec: Number.isNaN(modifiedMs) ? undefined : Math.floor(modifiedMs / 1000),
    };
  }

  const keyed = ({ checksum, url }: HttpSource): string => `${checksum ?? ''} ${url}`;
  const downloads: Downloads = {
    fetch(source, signal) {
      const key = keyed(source);
      // One request answers for a whole build, so that its steps see one content.
      const download = running.get(key) ?? fetch(source, signal);
      running.set(key, download);
      return download;
    },
    async read(source, signal) {
      const download = await downloads.fetch(source, signal);
      if (await isSound(download)) return download;
      content.drop(download.digest);
      running.delete(keyed(source));
      return downloads.fetch(source, signal);
    },
  };
  return downloads;
}

/** The address without what no store may keep. */
function keyOf(text: string): string {
  const url = new URL(text);
  return Object.assign(url, { username: '', password: '', hash: '' }).href;
}

/** Headers for a server that the caller has a secret for: a token, or the whole header. */
function authorization(url: URL, secret: SecretValue): Readonly<Record<string, string>> {
  for (const host of new Set([url.host, url.hostname])) {
    const header = secret(`HTTP_AUTH_HEADER_${host}`);
    if (header !== undefined) return { authorization: Buffer.from(header).toString('utf8').trim() };
    const token = secret(`HTTP_AUTH_TOKEN_${host}`);
    if (token !== undefined) return { authorization: `Bearer ${Buffer.from(token).toString('utf8').trim()}` };
  }
  return {};
}

function conditions(known: DownloadRow | undefined): Readonly<Record<string, string>> {
  if (known?.etag !== undefined) return { 'if-none-match': known.etag };
  return known?.lastModified === undefined ? {} : { 'if-modified-since': known.lastModified };
}

/** What tells one content of an address from the next, byte for byte. A time does so only when it was long ago.
 * @see RFC 9110 §8.8.2.2 and §13.1.5 */
function validatorOf({ headers }: HttpResponse): string | undefined {
  const { etag, date, 'last-modified': modified } = headers;
  if (etag !== undefined) return etag.startsWith('"') ? etag : undefined;
  return Date.parse(date ?? '') - Date.parse(modified ?? '') >= 60_000 ? modified : undefined;
}

function failed(shown: string, why: string): OcibuildError {
  return new OcibuildError('DOWNLOAD_FAILED', `Cannot download "${shown}": ${why}`);
}

/** Not every server that sends an ETag answers a condition on it; a strong one that is still the same will do. */
function isUnchanged({ status, headers }: HttpResponse, { etag }: DownloadRow): boolean {
  return status === 304 || (status === 200 && etag?.startsWith('"') === true && headers.etag === etag);
}

/** The hash of a checksum that is not SHA-256, which is computed in any case. */
function otherHash(checksum: string | undefined): { name: string; hash: Hash } | undefined {
  const name = checksum?.slice(0, checksum.indexOf(':'));
  return name === 'sha384' || name === 'sha512' ? { name, hash: createHash(name) } : undefined;
}

function refusal(response: HttpResponse, shown: string): Error {
  const { status, headers } = response;
  response.body.destroy();
  const details = { status };
  if (status === 401 || status === 403 || status === 407) {
    const why = status === 407 ? 'the proxy asks for credentials' : 'access was denied';
    return new OcibuildError('DOWNLOAD_AUTH_FAILED', `Cannot download "${shown}": ${why} (HTTP ${status})`, {
      details,
      hint: `give a token: --secret id=HTTP_AUTH_TOKEN_${new URL(shown).host},env=TOKEN`,
    });
  }
  const why = status === 404 ? 'the server has no such file' : 'the server refused';
  const error = new OcibuildError('DOWNLOAD_FAILED', `Cannot download "${shown}": ${why} (HTTP ${status})`, {
    details,
    ...(status === 404 ? { hint: 'check the address' } : {}),
  });
  return isBusy(status)
    ? new RetriableFailure(error, retryAfterMs(headers['retry-after'], Date.now()))
    : error;
}

function mismatch({ url, checksum = '' }: HttpSource, actual: string): OcibuildError {
  return new OcibuildError(
    'CHECKSUM_MISMATCH',
    `Cannot use "${redact(url)}": its checksum is "${actual}", expected "${checksum}"`,
    { details: { expected: checksum, actual } },
  );
}

/** A connection that broke, or never came to be; our own errors pass as they are. */
function connectionError(error: unknown, shown: string): unknown {
  const code = errnoOf(error) ?? '';
  // What is no fault of the network stays what it is.
  if (isOcibuildError(error) || code === '' || code.startsWith('ERR_INVALID')) return error;
  // An answer that breaks off is another fault than none at all.
  const broken = code === 'ECONNRESET' || code === 'HPE_INVALID_EOF_STATE' || code.startsWith('ERR_STREAM');
  const why = describeFailure(error);
  const hint = isCertificateFault(code)
    ? "set NODE_EXTRA_CA_CERTS to a file with the server's certificate authority"
    : 'check the address, the network and the proxy variables';
  return new OcibuildError(
    broken ? 'DOWNLOAD_FAILED' : 'DOWNLOAD_UNREACHABLE',
    `Cannot download "${shown}": ${broken ? `the connection broke (${why})` : why}`,
    { cause: error, hint },
  );
}

function diskFull(path: string, cause: unknown): OcibuildError {
  return new OcibuildError('DISK_FULL', `Cannot write "${path}": no space left on the device`, {
    hint: 'free space, or choose another disk with --root',
    details: { path },
    cause,
  });
}
