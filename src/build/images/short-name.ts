import { familiarName, parseReference } from '../../image/reference.ts';

/** `app:v0` for `docker.io/library/app:v0`: the name as people type it. */
export function shortName(name: string): string {
  return familiarName(parseReference(name));
}
