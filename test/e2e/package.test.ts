import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const PATH = `${dirname(process.execPath)}:${process.env.PATH}`;

let work = '';

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, PATH, OCIBUILD_ROOT: join(work, 'store') },
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error ?? status}\n${stdout}\n${stderr}`);
  return stdout;
}

/** The package as a user gets it: packed, then installed globally under a prefix of its own. */
describe('packed package', () => {
  let installed = '';
  let version = '';

  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), 'ocibuild-package-'));
    version = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
    run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', work], ROOT);
    const flags = [
      '--global',
      '--prefix',
      join(work, 'prefix'),
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--prefer-offline',
    ];
    run('npm', ['install', ...flags, '--loglevel=error', join(work, `ocibuild-${version}.tgz`)], work);
    installed = join(work, 'prefix/lib/node_modules/ocibuild');
  });

  afterAll(() => {
    rmSync(work, { recursive: true, force: true });
  });

  it('command prints its version when started through the link npm makes', () => {
    expect(run(join(work, 'prefix/bin/ocibuild'), ['version'], work)).toContain(version);
  });

  it('command starts from any folder when a second link points to the first', () => {
    symlinkSync(join(work, 'prefix/bin/ocibuild'), join(work, 'ob'));
    expect(run(join(work, 'ob'), ['version'], '/')).toContain(version);
  });

  it('files have a require() just where one is called', () => {
    const declared = 'const require=';
    const scripts = readdirSync(join(installed, 'dist')).filter((name) => name.endsWith('.js'));
    const texts = scripts.map((name) => readFileSync(join(installed, 'dist', name), 'utf8'));
    const calling = texts.filter((text) => /\brequire\b/.test(text.replace(declared, '')));
    expect(calling).not.toEqual([]);
    expect(texts.filter((text) => text.includes(declared))).toEqual(calling);
  });

  it('manual page and schema of the config file are there', () => {
    expect(readFileSync(join(work, 'prefix/share/man/man1/ocibuild.1'), 'utf8')).toContain('.SH NAME');
    expect(existsSync(join(installed, 'dist/config.schema.json'))).toBe(true);
  });

  it('licences of bundled packages are there', () => {
    const notices = readFileSync(join(installed, 'dist/THIRD_PARTY_NOTICES'), 'utf8');
    for (const name of [
      'dockerfile-ast',
      'tar-stream',
      '@noble/hashes',
      'p-queue',
      'chokidar',
      'ink',
      'react',
    ]) {
      expect(notices).toMatch(new RegExp(`^${name} [0-9.]+ \\(.+\\)\n\n.*Licen[cs]e`, 'ims'));
    }
  });

  it('build() is importable when the package is a dependency', () => {
    const code = "const { build } = await import('ocibuild'); process.stdout.write(typeof build)";
    const folder = join(work, 'prefix/lib');
    expect(run(process.execPath, ['--input-type=module', '--eval', code], folder)).toBe('function');
  });

  it('types are beside the code and no sources are when the package is listed', () => {
    expect(existsSync(join(installed, 'dist/types/index.d.ts'))).toBe(true);
    expect(readdirSync(installed)).not.toContain('src');
    expect(readdirSync(installed)).not.toContain('test');
  });

  it('command says what to do when the bundle is missing', () => {
    const bare = join(work, 'bare/bin');
    run('mkdir', ['-p', bare], work);
    run('cp', [join(ROOT, 'bin/ocibuild'), bare], work);
    const { status, stderr } = spawnSync(join(bare, 'ocibuild'), ['version'], { encoding: 'utf8' });
    expect(status).toBe(3);
    expect(stderr).toContain('npm run build');
  });
});
