import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { OcibuildError } from '../../errors/error.ts';
import { redact } from '../../errors/redact.ts';
import type { SourceRef } from '../../errors/source.ts';
import { normalName, parseReference, withDefaultTag } from '../../image/reference.ts';
import type { Digest } from '../../image/types.ts';
import type { GitSource, HttpSource } from '../../llb/ops.ts';
import { offsetOfValue, readJsonFault } from '../../util/json-fault.ts';
import { positionAt } from '../config/config-error.ts';
import type { NormalOptions } from '../normalise.ts';
import { createEvaluator } from './evaluate.ts';
import { type PolicyFault, parsePolicy } from './parse-policy.ts';
import type { PolicedSource } from './types.ts';

/** The source policy of a build, asked whenever a name gets its meaning. All throw SOURCE_DENIED; what stands in for a
 * source is of its kind, or it is SOURCE_POLICY_INVALID. */
export interface SourceRules {
  /** The full name of the image that stands in for one. */
  image(name: string): string;
  /** The same for what a name led to. @param name a full name without a digest */
  resolved(name: string, digest: Digest): string;
  /** `oci-layout://…` of a named context. */
  layout(value: string): void;
  /** A directory, or what stdin gave: `context`, `dockerfile`, a named context. */
  local(name: string): void;
  remote<S extends HttpSource | GitSource>(source: S): S;
}

/** Asks the rules; what they make of a source is of the kinds given, and nothing else of it is set. */
type Ask = (
  source: PolicedSource,
  about: {
    readonly schemes: readonly string[];
    readonly settable: readonly string[];
    readonly hint?: string;
  },
) => PolicedSource & { readonly address: string };

const DIGEST_HINT =
  'rules are asked for the name, and again for the name with the digest that it leads to: let ALLOW end with "*"';

/**
 * Reads and checks the source policy of a build.
 * @returns undefined where there is none
 * @throws SOURCE_POLICY_INVALID
 */
export function readSourceRules({
  sourcePolicy,
  cwd,
}: Pick<NormalOptions, 'sourcePolicy' | 'cwd'>): SourceRules | undefined {
  if (sourcePolicy === undefined) return undefined;
  if (typeof sourcePolicy !== 'string') return rulesOf(sourcePolicy, { name: 'sourcePolicy' });
  const path = resolve(cwd, sourcePolicy);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const message = `Cannot read the source policy "${sourcePolicy}"`;
    throw new OcibuildError('SOURCE_POLICY_INVALID', message, { cause, details: { path } });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const { why, offset } = readJsonFault(cause as Error, text);
    throw policyError(why, { name: sourcePolicy, text, offset });
  }
  return rulesOf(value, { name: sourcePolicy, text });
}

function rulesOf(value: unknown, file: { readonly name: string; readonly text?: string }): SourceRules {
  const fault: PolicyFault = (where, why) =>
    policyError(where === '' ? why : `${where}: ${why}`, {
      ...file,
      ...(file.text === undefined ? {} : { offset: offsetOfValue(file.text, pathOf(where)) }),
    });
  const evaluate = createEvaluator(parsePolicy(value, fault), `"${file.name}"`, fault);

  const ask: Ask = (given, { schemes, settable, hint }) => {
    const found = evaluate(given, hint);
    const [, scheme = '', address = ''] = /^([a-z-]+):\/\/(.+)$/s.exec(found.identifier) ?? [];
    if (found.identifier !== given.identifier && !schemes.includes(scheme)) {
      const why = `it cannot convert "${redact(given.identifier)}" to "${redact(found.identifier)}"`;
      throw policyError(why, file);
    }
    // One that is set and has no effect would be one that somebody relies on.
    const set = Object.keys(found.attrs).find(
      (key) => found.attrs[key] !== given.attrs[key] && !settable.includes(key),
    );
    if (set !== undefined) {
      const only = settable.length === 0 ? '' : `, only ${settable.join(', ')}`;
      throw policyError(`it cannot set "${set}" of "${redact(given.identifier)}"${only}`, file);
    }
    return { ...found, address };
  };
  const image = (name: string, hint?: string): string =>
    ask(
      { identifier: `docker-image://${name}`, attrs: {} },
      { schemes: ['docker-image'], settable: [], ...(hint === undefined ? {} : { hint }) },
    ).address;
  const fixed = (identifier: string): void => {
    ask({ identifier, attrs: {} }, { schemes: [], settable: [] });
  };
  return {
    image: (name) => image(normalName(withDefaultTag(parseReference(name)))),
    resolved: (name, digest) => image(`${name}@${digest}`, DIGEST_HINT),
    layout: fixed,
    local: (name) => fixed(`local://${name}`),
    remote: ((source: HttpSource | GitSource) =>
      source.type === 'http' ? policedHttp(source, ask) : policedGit(source, ask)) as SourceRules['remote'],
  };
}

function policedHttp(source: HttpSource, ask: Ask): HttpSource {
  const { url, checksum, filename } = source;
  const found = ask(
    {
      identifier: url,
      attrs: { 'http.filename': filename, ...(checksum === undefined ? {} : { 'http.checksum': checksum }) },
    },
    { schemes: ['http', 'https'], settable: ['http.checksum'] },
  );
  const wanted = found.attrs['http.checksum'];
  if (found.identifier === url && wanted === checksum) return source;
  return { ...source, url: found.identifier, ...(wanted === undefined ? {} : { checksum: wanted }) };
}

function policedGit(source: GitSource, ask: Ask): GitSource {
  const { remote: given, checksum: pinned, keepGitDir } = source;
  const identifier = gitIdentifier(source);
  const found = ask(
    {
      identifier,
      attrs: {
        'git.fullurl': given,
        ...(keepGitDir === true ? { 'git.keepgitdir': 'true' } : {}),
        ...(pinned === undefined ? {} : { 'git.checksum': pinned }),
      },
    },
    { schemes: ['git'], settable: ['git.fullurl', 'git.checksum'] },
  );
  const { 'git.fullurl': url = given, 'git.checksum': checksum } = found.attrs;
  if (found.identifier === identifier && url === given && checksum === pinned) return source;
  const [place = '', fragment = ''] = cut(found.address, '#');
  const [ref = '', subdir = ''] = cut(fragment, ':');
  // As BuildKit reads an identifier that has no address beside it.
  const isMoved = place !== cut(identifier, '#')[0]?.slice('git://'.length);
  const remote = url === given && isMoved ? `https://${place}` : url;
  const { ref: _ref, subdir: _subdir, ssh = 'default', ...rest } = source;
  return {
    ...rest,
    remote,
    ...(ref === '' ? {} : { ref }),
    ...(subdir === '' ? {} : { subdir }),
    ...(/^ssh:/i.test(remote) || !remote.includes('://') ? { ssh } : {}),
    ...(checksum === undefined ? {} : { checksum }),
  };
}

/** `git://HOST/PATH#REF:SUBDIR`, whatever the transport is. */
function gitIdentifier({ remote, ref = '', subdir = '' }: GitSource): string {
  const [, host = '', path = ''] =
    /^[a-z][a-z0-9+.-]*:\/\/(?:[^@/]*@)?([^/]*)\/*(.*)$/i.exec(remote) ??
    /^(?:[^@/]*@)?([^:/]*):?\/*(.*)$/.exec(remote) ??
    [];
  const fragment = subdir === '' ? ref : `${ref}:${subdir}`;
  return `git://${host}/${path}${fragment === '' ? '' : `#${fragment}`}`;
}

/** `rules[0].selector` as keys. */
function pathOf(where: string): (string | number)[] {
  return where
    .split(/[.[\]]+/)
    .filter((key) => key !== '')
    .map((key) => (/^\d+$/.test(key) ? Number(key) : key));
}

function policyError(
  why: string,
  {
    name,
    text,
    offset,
  }: { readonly name: string; readonly text?: string; readonly offset?: number | undefined },
): OcibuildError {
  let source: SourceRef | undefined;
  if (text !== undefined && offset !== undefined) {
    const start = positionAt(text, offset);
    const end = { line: start.line, column: start.column + 1 };
    source = { file: { name, text }, ranges: [{ start, end }] };
  }
  return new OcibuildError('SOURCE_POLICY_INVALID', `Cannot use the source policy "${name}": ${why}`, {
    ...(source === undefined ? {} : { source }),
  });
}

function cut(text: string, mark: string): readonly string[] {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + mark.length)];
}
