import { convertDockerfile } from '../../../src/frontend/convert/convert.ts';
import type { FrontendContext, FrontendResult, ResolvedImage } from '../../../src/frontend/types.ts';
import type { ContainerConfig, Digest } from '../../../src/image/types.ts';

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function digest(letter: string): Digest {
  return `sha256:${letter.repeat(64)}`;
}

/** A base image of one layer, made by one history entry. */
export function image(name: string, config: ContainerConfig = {}): ResolvedImage {
  return {
    name: `docker.io/library/${name}:latest`,
    manifest: digest('b'),
    config: {
      architecture: 'amd64',
      os: 'linux',
      config: { Env: [PATH], Cmd: ['/bin/sh'], WorkingDir: '/', ...config },
      rootfs: { type: 'layers', diff_ids: [digest('a')] },
      history: [{ created_by: 'base' }],
    },
  };
}

/** A context that knows the images given, `base` if none is; asked names are pushed to `asked`. */
export function makeContext(
  text: string,
  changes: Partial<FrontendContext> = {},
  images: Readonly<Record<string, ResolvedImage>> = { base: image('base') },
  asked: string[] = [],
): FrontendContext {
  const amd64 = { os: 'linux', architecture: 'amd64' };
  return {
    dockerfile: { name: 'Dockerfile', text },
    buildArgs: {},
    labels: {},
    targetPlatform: amd64,
    buildPlatform: amd64,
    noCache: false,
    localContexts: {},
    network: 'default',
    extraHosts: [],
    ulimits: [],
    signal: new AbortController().signal,
    resolver: {
      async resolve(name) {
        asked.push(name);
        const found = images[name];
        if (found === undefined) throw new RangeError(`no image ${name} in this test`);
        return found;
      },
    },
    ...changes,
  };
}

export function convert(
  text: string,
  ...rest: DropFirst<Parameters<typeof makeContext>>
): Promise<FrontendResult> {
  return convertDockerfile(makeContext(text, ...rest));
}

type DropFirst<T extends readonly unknown[]> = T extends readonly [unknown, ...infer R] ? R : never;

/** The graph as text: name, op and the names of the inputs, one vertex a line. */
export function dump({ definition: { vertices, meta } }: FrontendResult): string[] {
  const nameOf = (each: Digest) => meta.get(each)?.name ?? '?';
  return [...vertices.values()].map(
    ({ digest: each, op, inputs }) =>
      `${nameOf(each)} ${JSON.stringify(op)} <- ${inputs.map(nameOf).join(' + ')}`,
  );
}

export function historyOf(result: FrontendResult): string[] {
  return (result.config.history ?? []).map(
    ({ created_by, empty_layer }) => `${empty_layer === true ? '- ' : '+ '}${created_by}`,
  );
}
