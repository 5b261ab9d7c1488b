import { describe, expect, it } from 'vitest';
import type { ContainerConfig } from '../../../../src/image/types.ts';
import type { ExecOp } from '../../../../src/llb/ops.ts';
import { convert, historyOf, image } from '../support.ts';

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const FULL: ContainerConfig = {
  Env: ['PATH=/opt/bin', 'LANG=C'],
  Cmd: ['serve'],
  ArgsEscaped: true,
  Entrypoint: ['/start'],
  User: 'app',
  WorkingDir: '/app',
  Volumes: { '/data': {} },
  Labels: { vendor: 'base' },
  ExposedPorts: { '80/tcp': {} },
  Healthcheck: { Test: ['CMD', 'check'] },
  OnBuild: ['RUN triggered'],
  StopSignal: 'SIGINT',
  Shell: ['/bin/bash', '-c'],
};
const full = image('full', FULL);
const images = { full: { ...full, config: { ...full.config, author: 'Base' } } };

const configOf = async (text: string) => (await convert(text, {}, images)).config;

async function ranWith(text: string): Promise<readonly string[]> {
  const { target, definition } = await convert(text, {}, images);
  const run = target === undefined ? undefined : definition.vertices.get(target)?.op;
  return (run as ExecOp).env;
}

describe('FROM --reset', () => {
  it('leaves what the image needs when it is bare', async () => {
    const config = await configOf('FROM --reset full');
    expect(config.config).toEqual({ Env: [PATH], WorkingDir: '/' });
    expect(config.author).toBeUndefined();
    expect(config).toMatchObject({ architecture: 'amd64', os: 'linux' });
  });

  it('tells the history of it when it is used', async () => {
    const result = await convert('FROM --reset=labels,ENV,labels full\nFROM --reset scratch', {}, images);
    expect(historyOf(result)).toEqual(['- FROM --reset']);
    const first = await convert('FROM --reset=labels,ENV,labels full', {}, images);
    expect(historyOf(first)).toEqual([
      '+ base',
      '- FROM --reset=env,labels',
      '+ RUN /bin/bash -c triggered # buildkit',
    ]);
    expect(first.baseHistory).toBe(1);
  });

  it.each<[string, readonly (keyof ContainerConfig)[]]>([
    ['cmd', ['Cmd', 'ArgsEscaped']],
    ['entrypoint', ['Entrypoint']],
    ['healthcheck', ['Healthcheck']],
    ['labels', ['Labels']],
    ['ports', ['ExposedPorts']],
    ['shell', ['Shell']],
    ['stopsignal', ['StopSignal']],
    ['user', ['User']],
    ['volumes', ['Volumes']],
    ['user,volumes', ['User', 'Volumes']],
  ])('takes away nothing else when the names are %s', async (names, fields) => {
    const { config = {} } = await configOf(`FROM --reset=${names} full`);
    const { OnBuild: _fired, ...expected } = { ...FULL };
    for (const field of fields) delete (expected as Record<string, unknown>)[field];
    expect(config).toEqual(expected);
  });

  it('gives the root as working directory when it is reset', async () => {
    expect((await configOf('FROM --reset=workdir full')).config).toMatchObject({
      WorkingDir: '/',
      User: 'app',
    });
  });

  it('gives the usual PATH and no other variable to RUN when env is reset', async () => {
    expect(await ranWith('FROM --reset=env,onbuild full\nRUN x')).toEqual([PATH]);
    expect(await ranWith('FROM --reset=labels,onbuild full\nRUN x')).toEqual(['PATH=/opt/bin', 'LANG=C']);
  });

  it('keeps the build arguments of a base stage when env is reset', async () => {
    const base = 'FROM scratch AS base\nARG A=arg\nENV A=env B=b\nLABEL k=v\n';
    expect(await ranWith(`${base}FROM --reset=env base\nRUN x`)).toEqual(['A=arg', PATH]);
    const config = await configOf(`${base}FROM --reset=env base`);
    expect(config.config).toEqual({ Env: [PATH], WorkingDir: '/', Labels: { k: 'v' } });
  });

  it('fires no triggers when onbuild is reset', async () => {
    expect(historyOf(await convert('FROM --reset=onbuild full', {}, images))).toEqual([
      '+ base',
      '- FROM --reset=onbuild',
    ]);
    const stages = 'FROM scratch AS a\nONBUILD LABEL fired=yes\nFROM --reset=onbuild a';
    expect((await configOf(stages)).config?.Labels).toBeUndefined();
  });

  it('changes nothing when a named context stands for the stage', async () => {
    const changes = { imageContexts: ['stage'] };
    const result = await convert('FROM --reset full AS stage', changes, {
      stage: image('stage', { User: 'u' }),
    });
    expect(result.config.config?.User).toBe('u');
  });

  it.each([
    ['envs', 'did you mean "env"?'],
    ['env,volume', 'did you mean "volumes"?'],
    ['', undefined],
  ])('is refused with its place when the names are "%s"', async (names, hint) => {
    const failed = convert(`FROM --reset=${names} full`, {}, images);
    await expect(failed).rejects.toMatchObject({
      code: 'DOCKERFILE_FLAG_INVALID',
      source: { ranges: [{ start: { line: 1, column: 6 } }] },
      ...(hint === undefined ? {} : { hint }),
    });
  });
});
