import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createProject } from './cli-support.ts';

const CONFIG = `import { defineConfig, type OcibuildConfig } from 'ocibuild';
import { version } from './version.ts';

const labels: Record<string, string> = { version, who: process.env.WHO ?? 'nobody' };
const config: OcibuildConfig = {
  defaults: { labels, progress: 'plain' },
  builds: {
    api: { context: './api', tags: 'api:v1' },
    web: { context: './web', tags: 'web:v1', target: 'last', metadataFile: 'web.json' },
  },
};
export default defineConfig(config);
`;
const FILES = {
  'package.json': '{}',
  'ocibuild.config.ts': CONFIG,
  'version.ts': "export const version: string = '1';\n",
  'api/Dockerfile': 'FROM scratch\nCOPY Dockerfile /\n',
  'web/Dockerfile': 'FROM scratch AS last\nCOPY Dockerfile /\n',
};
const labelsOf = (stdout: Buffer): unknown => JSON.parse(stdout.toString()).config.Labels;

describe('config file', () => {
  it('builds by name side by side, with flags over it, and is found from a directory below', async () => {
    const project = createProject(FILES);
    mkdirSync(join(project.dir, '.git'));
    const both = await project.run(['build', '@api', '@web', '--metadata-file', 'all.json']);
    expect([both.code, both.stderr]).toEqual([0, expect.stringMatching(/\[api 1\/1\] COPY/)]);
    expect(both.stderr).toMatch(/\[web last 1\/1\] COPY|\[web 1\/1\] COPY/);
    expect(Object.keys(JSON.parse(readFileSync(join(project.dir, 'all.json'), 'utf8')))).toEqual([
      'api',
      'web',
    ]);
    const images = (await project.run(['images'])).stdout.toString();
    expect(images.match(/^(?:api|web):v1 /gm)?.toSorted()).toEqual(['api:v1 ', 'web:v1 ']);

    const failed = await project.run(['@api', '@web', '--target', 'last']);
    expect([failed.code, failed.stderr]).toEqual([2, expect.stringContaining('build @api:\nerror[')]);
    const locked = await project.run(['lock', '@api']);
    expect([locked.code, locked.stderr]).toEqual([
      0,
      expect.stringContaining('api/Dockerfile.lock is up to date'),
    ]);
    const ran = await project.run(['run', '--rm', '@api', '/nothing']);
    expect([ran.code, ran.stderr]).toEqual([127, expect.stringContaining('Cannot start "/nothing"')]);
    const none = await project.run(['--config', 'none', '@api']);
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining('there is no config file here')]);
  });

  it('is part of what the record of the last build depends on, with its modules and variables', async () => {
    const project = createProject(FILES);
    const argv = ['build', '-q', '-t', 'x', './api'];
    const inspect = async (): Promise<unknown> =>
      labelsOf((await project.run(['inspect', '--config', 'x'])).stdout);
    await sleep(50);
    const first = await project.run(argv);
    // Node has a warning of its own where package.json has no "type".
    expect(first.stderr).toBe('');
    // A record answers without the code of the file.
    expect((await project.run(argv)).stdout.toString()).toBe(first.stdout.toString());
    expect(await inspect()).toEqual({ version: '1', who: 'nobody' });
    project.write({ 'version.ts': "export const version: string = '2';\n" });
    await sleep(50);
    await project.run(argv);
    expect(await inspect()).toEqual({ version: '2', who: 'nobody' });
    await project.run(argv, { env: { WHO: 'me' } });
    expect(await inspect()).toEqual({ version: '2', who: 'me' });
    // One that appears nearer holds from then on.
    await project.run(['--config', 'none', ...argv]);
    expect(await inspect()).toBeUndefined();
  });

  it('says the line when its code is wrong', async () => {
    const project = createProject({
      ...FILES,
      'ocibuild.config.ts': 'export default {\n  defaults: { target: nowhere },\n};\n',
    });
    const { code, stderr } = await project.run(['build', './api']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/error\[CONFIG_INVALID\].*nowhere is not defined\n {2}ocibuild.config.ts:2:23\n/);
  });
});

describe('manual page', () => {
  it('has no fault that mandoc knows', () => {
    const page = resolve(import.meta.dirname, '../../dist/ocibuild.1');
    const { stdout, error } = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', page], {
      encoding: 'utf8',
    });
    // Without a date the same source gives the same page.
    expect([
      error,
      stdout.split('\n').filter((line) => line !== '' && !line.includes('missing date')),
    ]).toEqual([undefined, []]);
    const shown = spawnSync('mandoc', ['-T', 'utf8', '-O', 'width=100', page], { encoding: 'utf8' }).stdout;
    expect(shown.replaceAll(new RegExp(`.${String.fromCharCode(8)}`, 'g'), '')).toMatch(
      /--build-arg K\[=V\]\n +Value of an ARG/,
    );
  });
});
