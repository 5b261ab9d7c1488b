/** What a case reads from elsewhere: files of an HTTP server, git repositories. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { git, gitAll, startGitServer } from '../support/git-server.ts';
import { startWebServer } from '../support/web-server.ts';
import { writeFiles } from './context.ts';
import type { Case, ContextFile, RepositoryCommit } from './types.ts';

export type Services = AsyncDisposable & {
  /** Puts addresses in place of `@HTTP@` and `@GIT@`, and `@COMMIT:NAME:REF@` commits. */
  fill(text: string): string;
  /** The same for files; `@DOCKERFILE@` is the Dockerfile. */
  filled(files: readonly ContextFile[]): ContextFile[];
  /** Puts the names back, in anything that is JSON. */
  hide<T>(value: T): T;
};

/** Starts what the case needs; disposing of it stops and deletes everything. */
export async function startServices({ options, dockerfileText }: Case): Promise<Services> {
  const { http = [], git: repositories = {} } = options;
  const dir = await mkdtemp(join(tmpdir(), 'ocibuild-services-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const web = stack.use(await startWebServer(dir));
  const daemon = stack.use(await startGitServer(dir));
  const commits = new Map<string, string>();
  const fill = (text: string): string =>
    text
      .replaceAll('@HTTP@', web.url)
      .replaceAll('@GIT@', daemon.url)
      .replaceAll(/@COMMIT:([^@]+)@/g, (all, name: string) => commits.get(name) ?? all);
  const filled = (files: readonly ContextFile[]): ContextFile[] =>
    JSON.parse(
      fill(JSON.stringify(files)).replaceAll('@DOCKERFILE@', () =>
        JSON.stringify(fill(dockerfileText)).slice(1, -1),
      ),
    ) as ContextFile[];
  for (const [name, history] of Object.entries(repositories)) {
    const bare = join(dir, `${name}.git`);
    await makeRepository(
      bare,
      history.map((commit) => ({ ...commit, files: filled(commit.files ?? []) })),
    );
    const refs = git(bare, 'for-each-ref', '--format=%(refname:short) %(objectname)').split('\n');
    for (const [ref = '', commit = ''] of refs.map((line) => line.split(' '))) {
      commits.set(`${name}:${ref}`, commit);
    }
  }
  await writeFiles(dir, filled(http));
  const kept = stack.move();
  return {
    fill,
    filled,
    hide(value) {
      let text = JSON.stringify(value).replaceAll(web.url, '@HTTP@').replaceAll(daemon.url, '@GIT@');
      // A commit holds the Dockerfile, and so the address of this run.
      for (const [name, commit] of commits) text = text.replaceAll(commit, `@COMMIT:${name}@`);
      return JSON.parse(text) as typeof value;
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** A bare repository that both kinds of server can give. */
async function makeRepository(bare: string, history: readonly RepositoryCommit[]): Promise<void> {
  const work = `${bare}.work`;
  await mkdir(work);
  const commands: string[][] = [['init', '-q', '.']];
  for (const [i, { files = [], branch, tag, annotated, submodule }] of history.entries()) {
    if (i > 0) await gitAll(work, commands.splice(0));
    await writeFiles(work, files);
    if (branch !== undefined) commands.push(['checkout', '-q', '-B', branch]);
    if (submodule !== undefined) {
      // The submodule's address is that of the servers; what is committed comes from the disk.
      const source = join(bare, '..', `${submodule.repository}.git`);
      commands.push(['submodule', '-q', 'add', source, submodule.path]);
      commands.push([
        ...['config', '-f', '.gitmodules'],
        ...[`submodule.${submodule.path}.url`, submodule.url],
      ]);
    }
    commands.push(['add', '-A'], ['commit', '-q', '--allow-empty', '-m', 'a commit']);
    if (tag !== undefined) {
      commands.push(['tag', ...(annotated === true ? ['-a', '-m', 'a tag'] : []), tag]);
    }
  }
  commands.push(['checkout', '-q', 'main'], ['clone', '-q', '--bare', '.', bare]);
  commands.push(['--git-dir', bare, 'update-server-info']);
  await gitAll(work, commands);
  await rm(work, { recursive: true, force: true });
}
