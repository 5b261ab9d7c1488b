import type { CheckResult } from '../../build/describe.ts';
import type { SourceFile, SourceRange } from '../../errors/source.ts';
import type { LintWarning, Outline, TargetInfo } from '../../frontend/types.ts';

/** What a call can answer, in the shape of BuildKit's `result.json`. */
export type CallJson = Readonly<Record<string, unknown>>;

/**
 * `location` has the lines of the instruction, as BuildKit gives them; `range` (columns from 1) and `fix` are ours.
 */
export function checkJson({ warnings, error, dockerfile }: CheckResult): CallJson {
  const files = [...new Set([dockerfile, ...warnings.map(({ file }) => file ?? dockerfile)])];
  return {
    warnings: warnings.map((warning) => ({
      ruleName: warning.rule,
      description: warning.description ?? '',
      url: warning.url,
      detail: warning.message,
      location: locationOf(files.indexOf(warning.file ?? dockerfile), warning.lines ?? warning.range),
      range: warning.range,
      ...(warning.fix === undefined ? {} : { fix: warning.fix }),
    })),
    sources: files.map(({ name, text }) => ({ filename: name, language: 'Dockerfile', data: base64(text) })),
    ...(error === undefined
      ? {}
      : {
          buildError: {
            message: error.message,
            code: error.code,
            ...(error.source === undefined
              ? {}
              : { location: { ranges: error.source.ranges.map(linesOf), sourceIndex: 0 } }),
          },
        }),
  };
}

export function outlineJson(outline: Outline & { readonly dockerfile: SourceFile }): CallJson {
  const { name, description, args, secrets, ssh, caches, dockerfile } = outline;
  const mounts = (list: Outline['secrets']) =>
    list.map(({ name: id, required, range }) => ({
      name: id,
      ...(required ? { required } : {}),
      location: locationOf(0, range),
    }));
  return {
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    args: args.map(({ range, ...arg }) => ({ ...arg, location: locationOf(0, range) })),
    ...(secrets.length === 0 ? {} : { secrets: mounts(secrets) }),
    ...(ssh.length === 0 ? {} : { ssh: mounts(ssh) }),
    ...(caches.length === 0
      ? {}
      : { cache: caches.map(({ name: id, range }) => ({ ID: id, location: locationOf(0, range) })) }),
    sources: [base64(dockerfile.text)],
  };
}

export function targetsJson(list: readonly TargetInfo[], dockerfile: SourceFile): CallJson {
  return {
    targets: list.map(({ isDefault, range, ...target }) => ({
      ...target,
      ...(isDefault ? { default: true } : {}),
      location: locationOf(0, range),
    })),
    sources: [base64(dockerfile.text)],
  };
}

/** What `--call` can be asked for. */
export const SUBREQUESTS: readonly { readonly name: string; readonly description: string }[] = [
  { name: 'check', description: 'Lint rules that a Dockerfile breaks, with lines and fixes' },
  { name: 'outline', description: 'Arguments, secrets, SSH agents and cache mounts of a target' },
  { name: 'targets', description: 'Stages that can be a target' },
  { name: 'subrequests.describe', description: 'This list' },
];

/** Version of the answers' shape. */
export const SUBREQUEST_VERSION = '1.0.0';

export function subrequestsJson(): readonly CallJson[] {
  return SUBREQUESTS.map(({ name, description }) => ({
    name: `frontend.${name === 'check' ? 'lint' : name}`,
    version: SUBREQUEST_VERSION,
    type: 'rpc',
    description,
    opts: name === 'subrequests.describe' ? [] : [{ name: 'target', description: 'Stage that counts' }],
    metadata: [{ name: 'result.json' }, { name: 'result.txt' }],
  }));
}

function locationOf(sourceIndex: number, range: NonNullable<LintWarning['lines']>): CallJson {
  return { sourceIndex, ranges: [linesOf(range)] };
}

function linesOf({ start, end }: SourceRange): CallJson {
  return { start: { line: start.line }, end: { line: end.line } };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
