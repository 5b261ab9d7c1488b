// Compiled by tsc, never run: the public API as the documentation describes it, and misuse that must not compile.
import {
  type Build,
  type BuildOptions,
  type BuildResult,
  build,
  type Category,
  type Digest,
  type ErrorCode,
  type EventSink,
  type ImageConfig,
  isOcibuildError,
  MultiError,
  OcibuildError,
  type Output,
  type ProgressEvent,
} from '../../src/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Equal<A, B>): void => undefined;

export async function awaits(): Promise<void> {
  const job: Build = build({ context: '.' });
  const result = await job;
  same<typeof result, BuildResult>(true);
  same<typeof job.result, Promise<BuildResult>>(true);
  same<BuildResult['digest'], Digest | undefined>(true);
  same<BuildResult['config'], ImageConfig>(true);
  job.cancel();
  job.cancel('any reason');
  const text: string = await job.then(({ names }) => names.join());
  // @ts-expect-error results are read only
  result.names = [text];
}

export function takesOptions(): void {
  const outputs: readonly Output[] = [
    { type: 'store' },
    { type: 'cacheonly' },
    {
      type: 'oci',
      dest: 'a.tar',
      tar: true,
      compression: 'zstd',
      compressionLevel: 3,
      forceCompression: true,
    },
    { type: 'local', dest: 'out' },
    { type: 'tar', dest: '-' },
  ];
  const options: BuildOptions = {
    context: '.',
    outputs,
    tags: ['a'],
    buildArgs: { A: '1' },
    pull: 'never',
    signal: AbortSignal.timeout(1),
    stdout: process.stdout,
    env: process.env,
  };
  void build(options);
  // @ts-expect-error a context is needed
  void build({});
  // @ts-expect-error there is no such output
  void build({ context: '.', outputs: [{ type: 'archive' }] });
  // @ts-expect-error a directory needs a place
  void build({ context: '.', outputs: [{ type: 'local' }] });
  // @ts-expect-error there is no such option
  void build({ context: '.', file: 'Dockerfile' });
  // @ts-expect-error build arguments are strings
  void build({ context: '.', buildArgs: { A: 1 } });
}

export async function iterates(job: Build, sink: EventSink): Promise<void> {
  for await (const event of job) {
    same<typeof event, ProgressEvent>(true);
    sink(event);
    switch (event.kind) {
      case 'planned':
        same<typeof event.vertices, readonly string[]>(true);
        break;
      case 'vertex':
        same<typeof event.name, string>(true);
        break;
      case 'log':
        same<typeof event.data, Uint8Array>(true);
        break;
      case 'completed':
        same<typeof event.error, OcibuildError | undefined>(true);
        break;
      case 'explain':
        same<typeof event.changes, readonly string[]>(true);
        break;
      case 'warning':
        same<typeof event.vertex, string | undefined>(true);
        break;
      case 'status':
        same<typeof event.total, number | undefined>(true);
        break;
      case 'started':
      case 'cached':
        break;
      default:
        same<typeof event, never>(true);
    }
  }
}

export function readsErrors(error: unknown): string {
  // @ts-expect-error nothing is known of it yet
  error.code;
  if (!isOcibuildError(error)) return '';
  same<typeof error, OcibuildError>(true);
  const code: ErrorCode = error.code;
  const category: Category = error.category;
  const line: number | undefined = error.source?.ranges?.[0]?.start.line;
  if (error instanceof MultiError) return error.errors.map((one) => one.message).join();
  if (code === 'CANCELLED') return category;
  // @ts-expect-error there is no such code
  if (code === 'NO_SUCH_CODE') return '';
  return `${line} ${error.hint ?? ''} ${error.logTail.join()} ${String(error.details.path)}`;
}

export const made: OcibuildError = new OcibuildError('CANCELLED', 'Cannot go on', { hint: 'none' });
