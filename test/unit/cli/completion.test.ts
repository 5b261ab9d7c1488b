import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { type CompletionSources, complete, completionText } from '../../../src/cli/help/completion.ts';
import { COMPLETION_SCRIPTS } from '../../../src/cli/help/completion-scripts.ts';

const SOURCES: CompletionSources = {
  images: async () => ['app:v0', 'base:local'],
  containers: async () => ['web'],
  stages: async () => ['build', 'test'],
  named: async () => ['@api', '@web'],
  builds: async () => ['20260101-abc'],
  cacheMounts: async () => ['npm'],
};

async function values(...words: string[]): Promise<readonly string[]> {
  return (await complete(words, SOURCES)).candidates.map(({ value }) => value);
}

describe('complete()', () => {
  it('complete gives commands and directories when nothing is written yet', async () => {
    const { candidates, paths } = await complete([''], SOURCES);
    expect(candidates.map(({ value }) => value)).toEqual(expect.arrayContaining(['build', 'pull', 'run']));
    expect(candidates.every(({ help }) => help !== undefined)).toBe(true);
    expect(paths).toBe('dirs');
  });

  it('complete gives the commands that begin so when a part is written', async () => {
    expect(await values('pu')).toEqual(['pull', 'push']);
    expect(await values('--root', '/tmp/x', 'pul')).toEqual(['pull']);
  });

  it('complete gives flags without refused and used ones when a dash is written', async () => {
    expect(await values('build', '--no')).toEqual(['--no-cache', '--no-cache-filter']);
    expect(await values('build', '--no-cache', '--no')).toEqual(['--no-cache-filter']);
    expect(await values('build', '--tag', 'a', '--ta')).toEqual(['--tag', '--target']);
    expect(await values('build', '--squ')).toEqual([]);
    expect(await values('--no-cache', '--tar')).toEqual(['--target']);
  });

  it('complete gives values when a flag is to have one', async () => {
    expect(await values('build', '--target', '')).toEqual(['build', 'test']);
    expect(await values('build', '--target=t')).toEqual(['--target=test']);
    expect(await values('build', '--progress', 'gi')).toEqual(['github', 'gitlab']);
    expect(await complete(['build', '-f', ''], SOURCES)).toEqual({ candidates: [], paths: 'files' });
    expect(await complete(['--root', ''], SOURCES)).toEqual({ candidates: [], paths: 'dirs' });
  });

  it('complete gives names of the store when the usage has one there', async () => {
    expect(await values('push', 'a')).toEqual(['app:v0']);
    expect(await values('rmi', 'app:v0', 'b')).toEqual(['base:local']);
    expect(await values('diff', 'app:v0', '')).toEqual(['app:v0', 'base:local']);
    expect(await values('help', 'comp')).toEqual(['completion']);
    expect(await values('stop', '')).toEqual(['web']);
    expect(await values('tag', 'app:v0', 'x', '')).toEqual([]);
    expect(await values('cache', '')).toEqual(['ls', 'rm', 'path', 'shell']);
    expect(await values('cache', 'rm', '')).toEqual(['npm']);
    expect(await values('builds', '')).toEqual(['rm']);
    expect(await values('builds', 'rm', '2')).toEqual(['20260101-abc']);
    expect(await values('logs', '--build', 'l')).toEqual(['latest']);
  });

  it('complete gives builds of the config file when the context begins with @', async () => {
    expect(await values('build', '@')).toEqual(['@api', '@web']);
    expect(await values('@w')).toEqual(['@web']);
    expect(await values('run', '--rm', '@a')).toEqual(['@api']);
    expect(await values('push', '@a')).toEqual([]);
  });

  it('complete gives platforms when some are written already', async () => {
    expect(await values('build', '--platform', 'linux/arm64,linux/am')).toEqual(['linux/arm64,linux/amd64']);
    expect(await values('pull', '--platform=linux/r')).toEqual(['--platform=linux/riscv64']);
  });

  it('complete gives nothing when words follow that are not ours', async () => {
    expect(await values('exec', 'web', '--', '--')).toEqual([]);
  });
});

describe('completionText()', () => {
  it('completionText ends with the paths to offer when there are helps or none', () => {
    expect(
      completionText({ candidates: [{ value: 'a', help: 'b c' }, { value: 'd' }], paths: 'files' }),
    ).toBe('a\tb c\nd\n:files\n');
  });
});

describe('COMPLETION_SCRIPTS', () => {
  /** Runs the bash script with a program in place of ocibuild, and gives what bash would offer. */
  function inBash(line: string, answer: string): readonly string[] {
    const script = `ocibuild() { printf %s "$ANSWER"; }\n${COMPLETION_SCRIPTS.bash}
COMP_LINE=$LINE COMP_POINT=\${#LINE}; _ocibuild; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', script], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, LINE: line, ANSWER: answer },
    });
    expect([status, stderr]).toEqual([0, '']);
    return stdout.split('\n').filter(Boolean);
  }

  it('bash offers whole words when there is no colon in them', () => {
    expect(inBash('ocibuild pu', 'pull\tbring\npush\n:none\n')).toEqual(['pull', 'push']);
  });

  it('bash offers the rest when the word has a colon or an equals sign', () => {
    expect(inBash('ocibuild push app:', 'app:v0\napp:v1\n:none\n')).toEqual(['v0', 'v1']);
    expect(inBash('ocibuild build --target=', '--target=a\n:none\n')).toEqual(['a']);
  });

  it('bash offers paths when it is told to', () => {
    expect(inBash('ocibuild build /usr/bi', ':dirs\n')).toEqual(['/usr/bin']);
    expect(inBash('ocibuild run no-image', ':dirs\n')).toEqual([]);
  });

  it('bash does not take names of images for paths where it offers both', () => {
    const answer = 'busybox:1.37\nbusybox:latest\n:dirs\n';
    expect(inBash('ocibuild run busy', answer)).toEqual(['busybox:1.37', 'busybox:latest']);
    expect(inBash('ocibuild run /usr/bi', '/usr/bi:1\n:dirs\n')).toEqual(['/usr/bi:1', '/usr/bin/']);
  });

  it.each(["build '/usr/bi", 'build "/usr/bi', 'build /us\\r/bi'])(
    'bash reads quotes when the line is %s',
    (line) => {
      expect(inBash(`ocibuild ${line}`, ':dirs\n')).toEqual(['/usr/bin']);
    },
  );
});
