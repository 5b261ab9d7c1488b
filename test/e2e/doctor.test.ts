import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DoctorReport } from '../../src/build/doctor/types.ts';
import { createNormalUser, whyNoNormalUser } from '../support/normal-user.ts';
import { createProject } from './cli-support.ts';

const statusOf = ({ findings }: DoctorReport): Record<string, string> =>
  Object.fromEntries(findings.map(({ id, status }) => [id, status]));

describe('ocibuild doctor', () => {
  it('doctor runs a container and leaves nothing when there is no store yet', async () => {
    const project = createProject({});
    const { code, stdout, stderr } = await project.run(['doctor', '--format', 'json']);
    const report = JSON.parse(stdout.toString()) as DoctorReport;
    expect([code, stderr, report.works]).toEqual([0, '', true]);
    expect(statusOf(report)).toMatchObject({
      node: 'ok',
      runtime: 'ok',
      container: 'ok',
      overlay: 'ok',
      store: 'ok',
    });
    expect(existsSync(project.store)).toBe(false);
    expect(readdirSync(join(project.store, '..')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('doctor ends with 3 and says what to install when the runtime is not there', async () => {
    const project = createProject({ 'ocibuild.config.json': '{ "runtime": 1 }' });
    const { code, stdout } = await project.run(['--runtime', 'nowhere', 'doctor']);
    expect(code).toBe(3);
    expect(stdout.toString()).toMatch(/^fail {2}runtime .*"nowhere" is not on PATH.*\n +→ .*runc$/m);
    expect(stdout.toString()).toMatch(/^warn {2}config .*"runtime": expected a text\n +→ .*--config none$/m);
    expect(stdout.toString()).toMatch(/\nBuilds with RUN do not work here yet\.\n$/);
  });

  const why = whyNoNormalUser();
  it.skipIf(why !== undefined)('doctor runs a container in a user namespace when a normal user asks', () => {
    using user = createNormalUser('ocibuild-doctor');
    const cli = join(user.checkout, 'dist/cli.js');
    const command = user.command([user.node, cli, 'doctor', '--format', 'json']);
    const env = { PATH: process.env.PATH, HOME: user.home, XDG_DATA_HOME: join(user.home, 'data') };
    const run = spawnSync(...command, { env, cwd: user.home, encoding: 'utf8' });
    const report = JSON.parse(run.stdout) as DoctorReport;
    expect([run.status, report.works]).toEqual([0, true]);
    expect(statusOf(report)).toMatchObject({ container: 'ok', overlay: 'ok', userns: 'ok', idmap: 'ok' });
    expect(readdirSync(user.home).filter((name) => name !== 'checkout')).toEqual([]);
    expect(report.findings.find(({ id }) => id === 'container')?.message).toContain('without root');

    execFileSync('usermod', ['--del-subuids', rangeOf(user.name), user.name]);
    const without = spawnSync(...command, { env, cwd: user.home, encoding: 'utf8' });
    expect(without.status).toBe(3);
    const lacking = JSON.parse(without.stdout) as DoctorReport;
    expect(lacking.findings.find(({ id }) => id === 'idmap')).toMatchObject({
      status: 'fail',
      fix: expect.stringMatching(`usermod --add-subuids (\\d+-\\d+) --add-subgids \\1 ${user.name}`),
    });
  });
});

function rangeOf(name: string): string {
  const [, start, count] = execFileSync('grep', [`^${name}:`, '/etc/subuid'], { encoding: 'utf8' }).split(
    ':',
  );
  return `${start}-${Number(start) + Number(count) - 1}`;
}
