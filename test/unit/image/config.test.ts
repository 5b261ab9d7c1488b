import { describe, expect, it } from 'vitest';
import { finishConfig, formatTime } from '../../../src/image/config.ts';
import { runtimeConfig } from '../../../src/image/runtime-config.ts';
import type { Digest, History, ImageConfig } from '../../../src/image/types.ts';

const ID: Digest = `sha256:${'0'.repeat(64)}`;
const created = new Date(1_700_000_000_000);
const image = (history: readonly History[], more: Partial<ImageConfig> = {}): ImageConfig => ({
  rootfs: { type: 'layers', diff_ids: [] },
  os: 'linux',
  history,
  architecture: 'amd64',
  ...more,
});

describe('finishConfig()', () => {
  it('writes fields in BuildKit order without empty ones when given any order', () => {
    const config = {
      Shell: ['sh'],
      Labels: { b: '2', a: '1' },
      Cmd: ['c'],
      ArgsEscaped: true,
      Env: [],
      Entrypoint: null,
      ExposedPorts: { '80/tcp': {}, '443/udp': {} },
      Healthcheck: { Interval: 5, Test: ['NONE'], Retries: 0 },
      User: '',
      Zed: 1,
    };
    const finished = finishConfig(image([{ comment: 'c', created_by: 'RUN x' }], { config, variant: 'v2' }), {
      diffIds: [ID],
      created,
      baseHistory: 0,
    });
    expect(JSON.stringify(finished)).toBe(
      '{"architecture":"amd64","config":{"ExposedPorts":{"443/udp":{},"80/tcp":{}},"Cmd":["c"],' +
        '"Labels":{"a":"1","b":"2"},"ArgsEscaped":true,"Healthcheck":{"Test":["NONE"],"Interval":5},' +
        '"Shell":["sh"],"Zed":1},"created":"2023-11-14T22:13:20Z","history":[{"created":"2023-11-14T22:13:20Z",' +
        `"created_by":"RUN x","comment":"c"}],"os":"linux","rootfs":{"type":"layers","diff_ids":["${ID}"]},"variant":"v2"}`,
    );
  });

  it('keeps the config object and the list of layers when both are empty', () => {
    const finished = finishConfig(image([]), { diffIds: [], created, baseHistory: 0 });
    expect(finished).toMatchObject({ config: {}, rootfs: { diff_ids: [] } });
    expect('history' in finished).toBe(false);
  });

  it('leaves times of the base alone when new entries get theirs', () => {
    const history = [{ created: '2020-01-01T00:00:00Z' }, { created_by: 'old' }, { created_by: 'new' }];
    const finished = finishConfig(image(history), { diffIds: [ID, ID, ID], created, baseHistory: 2 });
    expect(finished.history?.map((entry) => entry.created)).toEqual([
      '2020-01-01T00:00:00Z',
      undefined,
      formatTime(created),
    ]);
  });

  it('fills in for the base when that has less history than layers', () => {
    const finished = finishConfig(image([{ created_by: 'new' }]), {
      diffIds: [ID, ID],
      created,
      baseHistory: 0,
    });
    expect(finished.history?.map((entry) => entry.created_by)).toEqual([undefined, 'new']);
  });

  it('marks entries of the base as empty when it has more history than layers', () => {
    const history = [{ created_by: 'a' }, { created_by: 'b' }, { created_by: 'new' }];
    const finished = finishConfig(image(history), { diffIds: [ID, ID], created, baseHistory: 2 });
    expect(finished.history?.map((entry) => entry.empty_layer === true)).toEqual([true, false, false]);
  });

  it('refuses when there are more new entries than layers', () => {
    const history = [{ created_by: 'a' }, { created_by: 'b' }];
    expect(() => finishConfig(image(history), { diffIds: [ID], created, baseHistory: 0 })).toThrow(
      expect.objectContaining({ code: 'IMAGE_INVALID' }),
    );
  });
});

describe('runtimeConfig()', () => {
  const user = { uid: 1, gid: 2, additionalGids: [3] };

  it('follows conversion.md when every field is set', () => {
    const config = {
      Entrypoint: ['/e', 'x'],
      Cmd: ['y'],
      Env: ['A=1', 'PATH=/p'],
      WorkingDir: '/w',
      StopSignal: 'SIGINT',
      ExposedPorts: { '80/tcp': {}, '443/udp': {} },
      Volumes: { '/v/b': {}, '/v': {} },
      Labels: { l: '1', 'org.opencontainers.image.author': 'label wins' },
    } as const;
    const full = image([], { config, author: 'me', created: '2023-11-14T22:13:20Z', variant: 'v2' });
    expect(runtimeConfig(full, user)).toEqual({
      process: { args: ['/e', 'x', 'y'], env: ['A=1', 'PATH=/p'], cwd: '/w', user },
      annotations: {
        l: '1',
        'org.opencontainers.image.os': 'linux',
        'org.opencontainers.image.architecture': 'amd64',
        'org.opencontainers.image.variant': 'v2',
        'org.opencontainers.image.author': 'label wins',
        'org.opencontainers.image.created': '2023-11-14T22:13:20Z',
        'org.opencontainers.image.stopSignal': 'SIGINT',
        'org.opencontainers.image.exposedPorts': '443/udp,80/tcp',
      },
      volumes: ['/v', '/v/b'],
    });
  });

  it('gives a root directory, a PATH and no annotations of empty fields when little is set', () => {
    const { process, annotations, volumes } = runtimeConfig(image([], { config: { Cmd: null } }), user);
    expect(process).toMatchObject({ args: [], cwd: '/', env: [expect.stringMatching(/^PATH=.*:\/bin$/)] });
    expect(Object.keys(annotations)).toEqual([
      'org.opencontainers.image.os',
      'org.opencontainers.image.architecture',
    ]);
    expect(volumes).toEqual([]);
  });
});
