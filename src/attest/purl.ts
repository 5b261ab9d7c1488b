import { PackageURL } from 'packageurl-js';
import { formatPlatform } from '../image/platform.ts';
import { parseReference } from '../image/reference.ts';
import type { Digest, Platform } from '../image/types.ts';
import type { Dependency, DigestSet, Distribution, Package } from './types.ts';

/**
 * `pkg:docker/me/app@v1?platform=linux%2Famd64`: an image by its name, as BuildKit writes it: without Docker Hub and its
 * `library`, and with any other registry as the first part of the namespace.
 * @throws REFERENCE_INVALID
 */
export function imagePurl(name: string, platform: Platform | undefined): string {
  const { registry, repository, tag, digest } = parseReference(name);
  const short = registry === 'docker.io' ? repository.replace(/^library\//, '') : `${registry}/${repository}`;
  const slash = short.lastIndexOf('/');
  const qualifiers = {
    ...(digest === undefined ? {} : { digest }),
    ...(platform === undefined ? {} : { platform: formatPlatform(platform) }),
  };
  return new PackageURL(
    'docker',
    slash < 0 ? undefined : short.slice(0, slash),
    short.slice(slash + 1),
    tag,
    qualifiers,
    undefined,
  ).toString();
}

/** A base image. `name` ends with the digest that it was resolved to, which is no part of what was asked for. */
export function imageDependency(name: string, digest: Digest, platform: Platform): Dependency {
  const asked = name.slice(0, name.lastIndexOf('@'));
  return { uri: dependencyPurl(asked, digest, platform), digest: digestSet(digest) };
}

function dependencyPurl(asked: string, digest: Digest, platform: Platform): string {
  try {
    return imagePurl(asked, platform);
  } catch {
    // Named contexts may be called what no image can be called.
    const qualifiers = { platform: formatPlatform(platform) };
    return new PackageURL('oci', undefined, asked, digest, qualifiers, undefined).toString();
  }
}

export function digestSet(digest: string): DigestSet {
  const colon = digest.indexOf(':');
  return { [digest.slice(0, colon)]: digest.slice(colon + 1) };
}

/** The package URL of a package. @see purl-spec PURL-TYPES.rst */
export function packagePurl(pack: Package, distribution: Distribution | undefined): string {
  const { type, version } = pack;
  const [namespace, base] = splitName(pack, distribution);
  return new PackageURL(
    type,
    namespace,
    base,
    version,
    type === 'deb' || type === 'apk' ? systemQualifiers(pack, distribution) : undefined,
    undefined,
  ).toString();
}

function splitName(
  { type, name }: Package,
  distribution: Distribution | undefined,
): [string | undefined, string] {
  if (type === 'deb') return [distribution?.id ?? 'debian', name];
  if (type === 'apk') return [distribution?.id ?? 'alpine', name];
  if (type === 'golang') {
    const last = name.lastIndexOf('/');
    return last < 0 ? [undefined, name] : [name.slice(0, last), name.slice(last + 1)];
  }
  const slash = name.indexOf('/');
  if (type === 'npm' && slash > 0) return [name.slice(0, slash), name.slice(slash + 1)];
  return [undefined, name];
}

function systemQualifiers(
  { name, version, architecture, source }: Package,
  distribution: Distribution | undefined,
): Record<string, string> {
  const release = distribution?.version === undefined ? '' : `${distribution.id}-${distribution.version}`;
  const upstream =
    source === undefined || (source.name === name && source.version === undefined)
      ? ''
      : `${source.name}${source.version === undefined || source.version === version ? '' : `@${source.version}`}`;
  return {
    ...(architecture === undefined ? {} : { arch: architecture }),
    ...(release === '' ? {} : { distro: release }),
    ...(upstream === '' ? {} : { upstream }),
  };
}
