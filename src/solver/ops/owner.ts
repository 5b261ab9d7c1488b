import { OcibuildError } from '../../errors/error.ts';
import type { Owner } from '../../llb/ops.ts';
import type { PlanOwner } from './file-plan.ts';
import { type LayeredSource, readSmallFile } from './layered-source.ts';
import type { StepDeps } from './types.ts';

/** BuildKit's limit for passwd and group files. */
const MAX_BYTES = 10 * 1024 * 1024;
/** Linux: (uid_t) -1 means "no change", so it is no id. */
const MAX_ID = 0xfffffffe;

/**
 * Numbers for `--chown`, looked up in the root that is copied to. A user without a group gets the passwd group
 * of a name, or its own number.
 * @throws COPY_OWNER_UNKNOWN for names that the root does not know, but with `orRoot`
 */
export async function resolveOwner(owner: Owner, root: LayeredSource, deps: StepDeps): Promise<PlanOwner> {
  const { user = 0, group } = owner;
  const otherwise = owner.orRoot === true ? 0 : undefined;
  const read = { maxBytes: MAX_BYTES, read: deps.readFile };
  const numericUser = idOf(user);
  const passwd = numericUser === undefined ? await readSmallFile(root, 'etc/passwd', read) : undefined;
  const account = passwd === undefined ? undefined : lineOf(passwd, String(user));
  // The one name that means the same everywhere, so no passwd file is needed for it.
  const byName = user === 'root' ? 0 : otherwise;
  const uid = numericUser ?? fieldOf(account, 2) ?? byName;
  const ownGid = group === undefined ? (numericUser ?? fieldOf(account, 3) ?? byName) : 0;
  if (uid === undefined || ownGid === undefined) throw unknown('user', String(user), '/etc/passwd');
  if (group === undefined) return { uid, gid: ownGid };
  const numericGroup = idOf(group);
  if (numericGroup !== undefined) return { uid, gid: numericGroup };
  const groups = await readSmallFile(root, 'etc/group', read);
  // Other builders fall back to the user's own group, so a directory of "app:typo" is app's.
  const own = otherwise === undefined ? undefined : (fieldOf(account, 3) ?? otherwise);
  const fallback = group === 'root' ? 0 : own;
  const gid = fieldOf(groups === undefined ? undefined : lineOf(groups, String(group)), 2) ?? fallback;
  if (gid === undefined) throw unknown('group', String(group), '/etc/group');
  return { uid, gid };
}

function idOf(value: string | number): number | undefined {
  if (typeof value === 'number') return value;
  if (!/^\d+$/.test(value)) return undefined;
  const id = Number(value);
  if (id > MAX_ID)
    throw new OcibuildError('COPY_OWNER_UNKNOWN', `Cannot use the id ${value}: it is above ${MAX_ID}`);
  return id;
}

/** A line that is cut or has no number there says nothing: an empty field must not become root. */
function fieldOf(fields: readonly string[] | undefined, at: number): number | undefined {
  const text = fields?.[at];
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

function lineOf(file: Buffer, name: string): readonly string[] | undefined {
  for (const line of file.toString('utf8').split('\n')) {
    const fields = line.split(':');
    if (fields[0] === name) return fields;
  }
  return undefined;
}

function unknown(what: string, name: string, file: string): OcibuildError {
  return new OcibuildError(
    'COPY_OWNER_UNKNOWN',
    `Cannot find the ${what} "${name}" in ${file} of the destination`,
    {
      details: { [what]: name },
      hint: `use a number, or add the ${what} in an earlier step; with --link only numbers are known`,
    },
  );
}
