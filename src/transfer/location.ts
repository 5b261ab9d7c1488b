import { OcibuildError } from '../errors/error.ts';
import { parseLayoutTarget } from '../image/layout.ts';
import { parseReference, type Reference, withDefaultTag } from '../image/reference.ts';
import type { Digest } from '../image/types.ts';

/** Where an image is or shall be. Paths are as written. */
export type ImageLocation =
  | { readonly type: 'docker'; readonly ref: Reference }
  | { readonly type: 'store'; readonly name: string }
  | {
      readonly type: 'oci' | 'oci-archive';
      readonly path: string;
      readonly tag?: string;
      readonly digest?: Digest;
    }
  | { readonly type: 'docker-archive'; readonly path: string; readonly ref?: Reference };

const FORMS = 'docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF] or store:REF';

/** @throws USAGE_INVALID, REFERENCE_INVALID */
export function parseLocation(text: string): ImageLocation {
  const [, type, rest = ''] = /^([a-z-]+):(.*)$/s.exec(text) ?? [];
  if (rest === '') throw unknownForm(text);
  switch (type) {
    case 'docker':
      if (!rest.startsWith('//')) throw unknownForm(text, `write docker://${rest}`);
      return { type, ref: withDefaultTag(parseReference(rest.slice(2))) };
    case 'store':
      return { type, name: rest };
    case 'oci':
    case 'oci-archive': {
      const { dir: path, ...which } = parseLayoutTarget(rest);
      return { type, path, ...which };
    }
    case 'docker-archive': {
      const colon = rest.indexOf(':');
      if (colon < 0) return { type, path: rest };
      const ref = withDefaultTag(parseReference(rest.slice(colon + 1)));
      return { type, path: rest.slice(0, colon), ref };
    }
    default:
      throw unknownForm(text, `for an image of the store: store:${text}, of a registry: docker://${text}`);
  }
}

function unknownForm(text: string, hint?: string): OcibuildError {
  return new OcibuildError(
    'USAGE_INVALID',
    `Cannot use "${text}" as a place of an image: expected ${FORMS}`,
    hint === undefined ? {} : { hint },
  );
}
