import { describe, expect, it } from 'vitest';
import { convertDockerfile } from '../../../../src/frontend/convert/convert.ts';
import type { ExecOp, FileOp } from '../../../../src/llb/ops.ts';
import { convert, digest, dump, historyOf, image, makeContext } from '../support.ts';

function opOf(result: Awaited<ReturnType<typeof convert>>) {
  const { target, definition } = result;
  return target === undefined ? undefined : definition.vertices.get(target)?.op;
}
const fileOp = async (text: string, ...rest: [Parameters<typeof makeContext>[1]?]) =>
  opOf(await convert(text, ...rest)) as FileOp;
const execOp = async (text: string, ...rest: [Parameters<typeof makeContext>[1]?]) =>
  opOf(await convert(text, ...rest)) as ExecOp;

describe('convertDockerfile()', () => {
  it('makes the graph of all stages that the target needs when one copies from another', async () => {
    const result = await convert(
      'FROM base AS build\nRUN make\nFROM missing AS unused\nFROM scratch\nCOPY --from=build /out /\nCMD ["/out"]\n',
    );
    const path = '"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"';
    expect(dump(result)).toEqual([
      `[build 1/2] FROM docker.io/library/base:latest {"kind":"source","source":{"type":"image","manifest":"${digest('b')}","diffIds":["${digest('a')}"],"platform":{"os":"linux","architecture":"amd64"}}} <- `,
      `[build 2/2] RUN make {"kind":"exec","rootfs":0,"args":["/bin/sh","-c","make"],"env":[${path}],"cwd":"/","user":"","network":"default","security":"sandbox","mounts":[]} <- [build 1/2] FROM docker.io/library/base:latest`,
      '[stage-2 1/1] COPY --from=build /out / {"kind":"file","base":-1,"actions":[{"type":"copy","from":0,"sources":[{"path":"out","wildcard":false}],"dest":"/"}]} <- [build 2/2] RUN make',
    ]);
    expect(result.stageNames).toEqual(['build', 'unused', 'stage-2']);
    expect(historyOf(result)).toEqual(['+ COPY /out / # buildkit', '- CMD ["/out"]']);
    expect(result.baseHistory).toBe(0);
  });

  it('keeps the spelling of a directory when WORKDIR is empty after expansion', async () => {
    const result = await convert('FROM scratch\nWORKDIR /x//y/\nWORKDIR $NONE\n');
    expect(historyOf(result)).toEqual(['+ WORKDIR /x//y/', '+ WORKDIR /x//y/']);
  });

  it.each<[string, Record<string, string>]>([
    ['# syntax=docker/dockerfile:1.7\n', {}],
    ['# syntax=ocibuild\n', {}],
    ['# syntax=ocibuild:1\n', {}],
    ['# syntax=ocibuild/dockerfile:1 and more\n', {}],
    ['', { BUILDKIT_SYNTAX: 'ocibuild' }],
    ['# syntax=some/other\n', { BUILDKIT_SYNTAX: 'docker/dockerfile' }],
  ])('accepts the syntax when the file starts with %j and the arguments are %j', async (line, buildArgs) => {
    const result = await convert(`${line}FROM base\n`, { buildArgs });
    expect(result.stageNames).toEqual(['stage-0']);
  });

  it('gives no target when a scratch image has metadata only', async () => {
    const result = await convert('FROM scratch\nLABEL a=b\nWORKDIR /\n', { labels: { c: 'd', a: 'e' } });
    expect(result.target).toBeUndefined();
    expect(result.definition.vertices.size).toBe(0);
    expect(result.config.config).toEqual({
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
      Labels: { a: 'e', c: 'd' },
    });
    expect(historyOf(result)).toEqual(['- LABEL a=b', '- WORKDIR /']);
  });

  it('keeps the time of the base, which is that of the image where nothing is new', async () => {
    const base = image('base');
    const created = '2001-02-03T00:00:00Z';
    const images = { base: { ...base, config: { ...base.config, created } } };
    const result = await convert('FROM base AS a\nFROM a\nLABEL a=b\n', {}, images);
    expect(result.config.created).toBe(created);
  });

  it('writes config and history as BuildKit when all metadata instructions are used', async () => {
    const result = await convert(
      [
        'FROM base',
        'ARG A=1 B',
        'ENV X="q u" PATH=/bin',
        'ENV old  style  value',
        'LABEL k=v "a b"=c',
        'EXPOSE 443 80/tcp 127.0.0.1:9000:90/UDP 1000-1001',
        'VOLUME ["/v x"]',
        'USER $X',
        'HEALTHCHECK --interval=1m30s --timeout=500ms --retries=7 CMD ["check", "it"]',
        'SHELL ["/bin/bash","-c"]',
        'ENTRYPOINT foo "bar"',
        'STOPSIGNAL 9',
        'MAINTAINER Me <a@b>',
        'onbuild run  echo $x',
        'RUN $A',
      ].join('\n'),
      { buildArgs: { B: 'bee', NOPE: '1', http_proxy: 'x', BUILDKIT_INLINE_CACHE: '1' } },
    );
    const { config, author } = result.config;
    expect(author).toBe('Me <a@b>');
    expect(config).toEqual({
      Env: ['PATH=/bin', 'X=q u', 'old=style  value'],
      WorkingDir: '/',
      Labels: { 'a b': 'c', k: 'v' },
      ExposedPorts: { '1000/tcp': {}, '1001/tcp': {}, '443/tcp': {}, '80/tcp': {}, '90/udp': {} },
      Volumes: { '/v x': {} },
      User: 'q u',
      Healthcheck: { Test: ['CMD', 'check', 'it'], Interval: 90e9, Timeout: 5e8, Retries: 7 },
      Shell: ['/bin/bash', '-c'],
      Entrypoint: ['/bin/bash', '-c', 'foo "bar"'],
      StopSignal: '9',
      OnBuild: ['run  echo $x'],
    });
    expect(historyOf(result)).toEqual([
      '+ base',
      '- ARG A=1 B=bee',
      '- ENV X=q u PATH=/bin',
      '- ENV old=style  value',
      '- LABEL k=v a b=c',
      '- EXPOSE [1000/tcp 1001/tcp 90/udp 443/tcp 80/tcp]',
      '- VOLUME [/v x]',
      '- USER q u',
      `- HEALTHCHECK &{["CMD" "check" "it"] "1m30s" "500ms" "0s" "0s" '\\a'}`,
      '- SHELL [/bin/bash -c]',
      '- ENTRYPOINT ["/bin/bash" "-c" "foo \\"bar\\""]',
      '- STOPSIGNAL 9',
      '- MAINTAINER Me <a@b>',
      '+ RUN |2 A=1 B=bee /bin/bash -c $A # buildkit',
    ]);
    expect(result.baseHistory).toBe(1);
    expect(result.warnings.filter(({ url }) => url === '').map(({ message }) => message)).toEqual([
      'One or more build-args [NOPE] were not consumed',
    ]);
  });

  it('cleans sources and marks wildcards when COPY names paths', async () => {
    const { actions } = await fileOp('FROM scratch\nENV S="a b"\nCOPY ../x $S ./d/ e*[0] "" f\\\\* /dst/');
    expect(actions).toMatchObject([
      {
        sources: [
          { path: 'x', wildcard: false },
          { path: 'a b', wildcard: false },
          { path: 'd', wildcard: false },
          { path: 'e*[0]', wildcard: true },
          { path: '', wildcard: false },
          { path: 'f\\*', wildcard: false },
        ],
      },
    ]);
  });

  it.each([
    ['1:2', { user: 1, group: 2 }],
    ['app', { user: 'app' }],
    ['5:', { user: 5, group: 0 }],
    [':staff', { group: 'staff' }],
  ])('reads owner %s when it is given', async (chown, owner) => {
    expect((await fileOp(`FROM scratch\nADD --chown=${chown} --chmod=0640 a /`)).actions).toMatchObject([
      { owner, mode: 0o640, unpack: true },
    ]);
  });

  it('copies onto nothing and merges when COPY has --link', async () => {
    const lines = dump(await convert('FROM base\nCOPY --link a /\n')).slice(1);
    expect(lines.map((line) => line.replace(/"actions".*\}/, ''))).toEqual([
      '[internal] load build context {"kind":"source","source":{"type":"local","name":"context","ignore":[]}} <- ',
      '[2/2] COPY --link a / {"kind":"file","base":-1, <- [internal] load build context',
      '[2/2] COPY --link a / {"kind":"merge"} <- [1/2] FROM docker.io/library/base:latest + [2/2] COPY --link a /',
    ]);
  });

  it('shares vertices and contexts when stages do the same', async () => {
    const ignoreFile = { name: '.dockerignore', text: '# c\nx\n!y\n' };
    const result = await convert(
      'FROM base AS a\nCOPY f /\nFROM base AS b\nCOPY f /\nFROM scratch\nCOPY --from=a / /\nCOPY --from=1 / /\nCOPY --from=extra . /e/',
      { ignoreFile, localContexts: { extra: { ignoreFile: { name: 'i', text: 'z' } } } },
    );
    const locals = [...result.definition.vertices.values()].flatMap(({ op }) =>
      op.kind === 'source' && op.source.type === 'local' ? [op.source] : [],
    );
    expect(locals).toEqual([
      { type: 'local', name: 'context', ignore: ['x', '!y'] },
      { type: 'local', name: 'extra', ignore: ['z'] },
    ]);
    expect(result.definition.vertices.size).toBe(7);
  });

  it('runs a here-document when it is all of RUN, as a script when it starts with #!', async () => {
    expect((await execOp('FROM base\nRUN <<-E\n\ta\n\tb\nE')).args).toEqual(['/bin/sh', '-c', 'a\nb\n']);
    expect((await execOp('FROM base\nRUN cat <<E | sh\na\nE')).args[2]).toBe('cat <<E | sh\na\nE');
    const script = await execOp('FROM base\nRUN <<E\n#!/bin/x\nE');
    expect(script.args).toEqual(['/bin/sh', '-c', '/dev/pipes/E']);
    expect(script.mounts).toEqual([
      { type: 'bind', target: '/dev/pipes', readonly: true, input: 1, source: '' },
    ]);
  });

  it('expands the here-documents of COPY when their delimiter is bare', async () => {
    const result = await convert('FROM scratch\nENV V=x\nCOPY <<A <<"B" /d/\n"$V" \\$V it\'s\nA\n$V\nB\n');
    const contents = [...result.definition.vertices.values()].flatMap(({ op }) =>
      op.kind === 'file'
        ? op.actions.flatMap((each) => (each.type === 'mkfile' ? [atob(each.data)] : []))
        : [],
    );
    expect(contents).toEqual(['"x" $V it\'s\n', '$V\n']);
    expect(historyOf(result).at(-1)).toBe('+ COPY <<A <<B /d/ # buildkit');
  });

  it('fires the triggers of a base image when they bring stages and images of their own', async () => {
    const asked: string[] = [];
    const base = image('base', { OnBuild: ['ARG V=1', 'COPY --from=tools /t /t', 'COPY --from=other / /o'] });
    const images = { base, other: image('other'), tool: image('tool') };
    const text = 'FROM tool AS tools\nRUN t\nFROM base AS app\nRUN $V\n';
    const result = await convert(text, {}, images, asked);
    expect(asked.sort()).toEqual(['base', 'other', 'tool']);
    expect(historyOf(result)).toEqual([
      '+ base',
      '- ARG V=1',
      '+ COPY /t /t # buildkit',
      '+ COPY / /o # buildkit',
      '+ RUN |1 V=1 /bin/sh -c $V # buildkit',
    ]);
    expect(result.config.config?.OnBuild).toBeUndefined();
    expect(dump(result).some((line) => line.startsWith('[app 2/4] ONBUILD COPY --from=tools'))).toBe(true);
  });

  it('lets a named image stand for a stage when it has the name of one', async () => {
    const text = 'FROM missing AS part\nRUN x\nFROM part\nRUN y';
    const result = await convert(text, { imageContexts: ['part'] }, { part: image('part') });
    expect(historyOf(result)).toEqual(['+ base', '+ RUN /bin/sh -c y # buildkit']);
  });

  it('asks for the platform of the flag when FROM has one', async () => {
    const context = makeContext('FROM --platform=$BUILDPLATFORM base\n', {
      buildPlatform: { os: 'linux', architecture: 'arm64' },
    });
    const platforms: unknown[] = [];
    const resolver: typeof context.resolver = {
      async resolve(name, platform) {
        platforms.push(platform);
        return image(name);
      },
    };
    await convertDockerfile({ ...context, resolver });
    expect(platforms).toEqual([{ os: 'linux', architecture: 'arm64' }]);
  });

  it('marks vertices when the cache is not to be read', async () => {
    const text = 'FROM base AS a\nRUN x\nFROM a\nRUN y';
    const marked = async (noCache: boolean | string[]) => {
      const { definition } = await convert(text, { noCache });
      return [...definition.meta.values()].flatMap((each) => (each.ignoreCache ? [each.name] : []));
    };
    expect(await marked(['A'])).toEqual(['[a 2/2] RUN x']);
    expect(await marked(true)).toEqual(['[a 2/2] RUN x', '[stage-1 1/1] RUN y']);
    expect(await marked(false)).toEqual([]);
  });
});
