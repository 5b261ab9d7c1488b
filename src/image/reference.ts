import { OcibuildError } from '../errors/error.ts';
import { isDigest, parseDigest } from './digest.ts';
import type { Digest } from './types.ts';

/** An image name. `registry` and `repository` are normalised (`docker.io`, `library/busybox`). */
export interface Reference {
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const DEFAULT_REGISTRY = 'docker.io';
const LEGACY_REGISTRY = 'index.docker.io';
const OFFICIAL = 'library/';
const MAX_REPOSITORY_LENGTH = 255;
/** A DNS name's 253 characters and a port; longer text is not worth matching. */
const MAX_REGISTRY_LENGTH = 260;

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const HOST_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const REGISTRY = new RegExp(`^(?:${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const TAG = /^\w[\w.-]{0,127}$/;

/**
 * Reads an image name by Docker's rules: without a registry it is on `docker.io`, without a namespace there in
 * `library`. No tag is added.
 * @throws REFERENCE_INVALID
 * @see distribution-spec §Pulling manifests for names and tags
 */
export function parseReference(text: string): Reference {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : readDigest(text, text.slice(at + 1));
  const tagged = at < 0 ? text : text.slice(0, at);
  // A colon before the last slash belongs to the registry's port.
  const colon = tagged.indexOf(':', tagged.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : tagged.slice(colon + 1);
  const name = colon < 0 ? tagged : tagged.slice(0, colon);
  if (name === '') throw fault(text, text === '' ? 'the name is empty' : 'the repository name is missing');
  if (tag !== undefined && !TAG.test(tag)) throw fault(text, tagFault(tag));
  if (/^[0-9a-f]{64}$/.test(name)) throw fault(text, 'a name of 64 hex digits reads as an image id');
  const { registry, repository } = splitRegistry(name);
  if (registry.length > MAX_REGISTRY_LENGTH || !REGISTRY.test(registry))
    throw fault(text, `"${registry}" is not a registry host`);
  checkRepository(text, repository);
  return {
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The same reference, tagged `latest` where it has neither tag nor digest. */
export function withDefaultTag(ref: Reference): Reference {
  return ref.tag === undefined && ref.digest === undefined ? { ...ref, tag: 'latest' } : ref;
}

/** The full name: `docker.io/library/app:v0`. `parseReference` gives the same reference back. */
export function normalName(ref: Reference): string {
  return `${ref.registry}/${ref.repository}${suffix(ref)}`;
}

/** The short name that people type: `app:v0` for `docker.io/library/app:v0`. Reads back as the same reference. */
export function familiarName(ref: Reference): string {
  if (ref.registry !== DEFAULT_REGISTRY) return normalName(ref);
  const [first = '', ...rest] = ref.repository.split('/');
  if (first === 'library' && rest.length === 1) return `${rest[0]}${suffix(ref)}`;
  // `docker.io/a.b/c` without its registry would read as repository `c` on host `a.b`.
  if (isRegistryName(first)) return normalName(ref);
  return `${ref.repository}${suffix(ref)}`;
}

function suffix({ tag, digest }: Reference): string {
  return `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const named = slash >= 0 && isRegistryName(first);
  const registry = !named || first === LEGACY_REGISTRY ? DEFAULT_REGISTRY : first;
  const path = named ? name.slice(slash + 1) : name;
  const official = registry === DEFAULT_REGISTRY && path !== '' && !path.includes('/');
  return { registry, repository: official ? `${OFFICIAL}${path}` : path };
}

/** Whether the first path component of a name is a host and not a namespace. */
function isRegistryName(first: string): boolean {
  return first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase();
}

function checkRepository(text: string, repository: string): void {
  if (repository === '') throw fault(text, 'the repository name is missing');
  if (repository.length > MAX_REPOSITORY_LENGTH) {
    throw fault(
      text,
      `the repository has ${repository.length} characters, at most ${MAX_REPOSITORY_LENGTH} are allowed`,
    );
  }
  const typed = text.includes(repository) ? repository : repository.slice(OFFICIAL.length);
  for (const part of repository.split('/')) {
    if (COMPONENT.test(part)) continue;
    if (part === '') throw fault(text, 'the repository has an empty path component');
    if (part !== part.toLowerCase())
      throw fault(text, 'the repository must be lower case', text.replace(typed, typed.toLowerCase()));
    throw fault(
      text,
      `"${part}" is not a repository name: expected a-z and 0-9, separated by ".", "_", "__" or "-"`,
    );
  }
}

function readDigest(text: string, digest: string): Digest {
  if (isDigest(digest)) return digest;
  try {
    return parseDigest(digest);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/^Cannot read digest "[^"]*": /, '') : '';
    throw fault(text, `the digest is malformed: ${why}`);
  }
}

function tagFault(tag: string): string {
  if (tag === '') return 'the tag is empty';
  if (tag.length > 128) return `the tag has ${tag.length} characters, at most 128 are allowed`;
  return `"${tag}" is not a tag: expected letters, digits, "_", "." and "-", not starting with "." or "-"`;
}

function fault(text: string, why: string, suggestion?: string): OcibuildError {
  return new OcibuildError('REFERENCE_INVALID', `Cannot read image name "${text}": ${why}`, {
    details: { reference: text },
    ...(suggestion === undefined ? {} : { hint: `did you mean "${suggestion}"?` }),
  });
}
