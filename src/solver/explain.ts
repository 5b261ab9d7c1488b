import { familiarName, parseReference } from '../image/reference.ts';
import { digestOf } from '../llb/definition.ts';
import { explainOp } from './explain-op.ts';
import type { Ingredient } from './types.ts';

const HIDDEN = /^#[0-9a-f]{16}$/;

/** Stands for a value in a record that leaves this machine: it tells that the value changed, but not what it was. */
export function hiddenValue(value: string): string {
  return HIDDEN.test(value) ? value : `#${digestOf(value).slice('sha256:'.length, 'sha256:'.length + 16)}`;
}

/** Ingredients of a record that no key is made of: where it was built, and what the images below were. */
export const SCOPE: string = 'scope';
export const BASE_IMAGE: string = 'base image';
/** The image at the bottom of the stage, of steps that stand on another step. */
export const ROOT_IMAGE: string = 'root image';

/** What other steps gave: they say themselves what changed. */
const OF_OTHERS = /^(input \d+|rootfs|layer)$/;
/** Of those, what was in it. */
const CONTENTS = ['rootfs', 'layer'];
/** Selections that have files: names of those tell more. */
const FILES = /^(files of |mount |download |context$)/;
/** Sources of one kind that a step may have several of, by one name. */
const SEVERAL = /^(files of |download |context$|commit$)/;

/** What differs between the ingredients of the last run of a step and of this one. */
export interface Miss {
  /** One change a line: `ARG VERSION 1 → 2`, `base image alpine:3 updated (sha256:… → sha256:…)`. */
  readonly changes: readonly string[];
  /** Selections of files that differ, for who knows their names. */
  readonly files: readonly string[];
  /** Indexes of inputs that are others now. */
  readonly inputs: readonly number[];
  /** What other steps gave differs. */
  readonly byOthers: boolean;
  /** The change of the image at the bottom, which a step in between may have been found again on. */
  readonly root: readonly string[];
}

export function compareIngredients(before: readonly Ingredient[], after: readonly Ingredient[]): Miss {
  const old = mapOf(before);
  const fresh = mapOf(after);
  const changes: string[] = [];
  const files: string[] = [];
  const inputs: number[] = [];
  const byOthers = new Set<string>();
  for (const name of new Set([...fresh.keys(), ...old.keys()])) {
    if (name === SCOPE || name === ROOT_IMAGE || !differs(name, old, fresh)) continue;
    const [was, is] = [old.get(name), fresh.get(name)];
    if (OF_OTHERS.test(name)) {
      byOthers.add(name);
      const index = /^input (\d+)$/.exec(name)?.[1];
      if (index !== undefined && is !== undefined) inputs.push(Number(index));
    } else if (FILES.test(name)) files.push(...describe(name, was, is));
    // An ARG is a variable of the step as well.
    else if (!name.startsWith('env ') || !differs(`ARG ${name.slice('env '.length)}`, old, fresh))
      changes.push(...describe(name, was, is));
  }
  const root =
    old.has(ROOT_IMAGE) && fresh.has(ROOT_IMAGE) && differs(ROOT_IMAGE, old, fresh)
      ? imageChange(BASE_IMAGE, old.get(ROOT_IMAGE), fresh.get(ROOT_IMAGE))
      : [];
  // A step below that is another one now may still give the same.
  const isKnown = CONTENTS.some((name) => old.has(name) && fresh.has(name));
  if (isKnown && files.length === 0 && CONTENTS.every((name) => !byOthers.has(name)))
    return { changes, files, inputs: [], byOthers: false, root: [] };
  return { changes, files, inputs, byOthers: byOthers.size > 0, root };
}

type Values = ReadonlyMap<string, string>;

/** The same selection may be there twice: the last would hide the others. */
function mapOf(ingredients: readonly Ingredient[]): Values {
  const values = new Map<string, string>();
  for (const { name, value } of ingredients) {
    const known = values.get(name);
    values.set(name, known !== undefined && SEVERAL.test(name) ? `${known} ${value}` : value);
  }
  return values;
}

function differs(name: string, old: Values, fresh: Values): boolean {
  const [was, is] = [old.get(name), fresh.get(name)];
  return was !== is && !(was !== undefined && is !== undefined && was === hiddenValue(is));
}

function describe(name: string, was: string | undefined, is: string | undefined): readonly string[] {
  if (name === 'op') return explainOp(was, is);
  const shown = name.startsWith('env ') ? `ENV ${name.slice('env '.length)}` : name;
  if (name.startsWith(BASE_IMAGE) || name.startsWith('image ')) return imageChange(shown, was, is);
  // Its text is a part of the instruction.
  if (name.startsWith('selection ')) return ['the instruction changed'];
  if (was === undefined) return [`${shown} is new`];
  if (is === undefined) return [`${shown} is gone`];
  if (name === 'commit') return [commitChange(was, is)];
  if (FILES.test(name)) return [`${shown} changed`];
  return [short(was) && short(is) ? `${shown} ${quoted(was)} → ${quoted(is)}` : `${shown} changed`];
}

/** Values are `NAME@DIGEST`. Of an image that the step no longer stands on, the step in between tells. */
function imageChange(what: string, was: string | undefined, is: string | undefined): readonly string[] {
  const kind = what.startsWith(BASE_IMAGE) ? BASE_IMAGE : 'image';
  const [oldName, oldDigest] = imageOf(was);
  const [name, digest] = imageOf(is);
  if (is === undefined) return [];
  if (was === undefined) return [kind === BASE_IMAGE ? `now follows FROM ${name}` : `image ${name} is new`];
  if (HIDDEN.test(was)) return [`${kind} ${name} changed`];
  // One image may have several names.
  if (oldDigest === digest) return [];
  if (oldName !== name) return [`${kind} ${oldName} → ${name}`];
  return [`${kind} ${name} updated (${cut(oldDigest)} → ${cut(digest)})`];
}

/** The name as people type it, and the digest. */
function imageOf(value: string | undefined): readonly [string, string] {
  const [name = '', digest = ''] = value?.split('@') ?? [];
  try {
    return [familiarName(parseReference(name)), digest];
  } catch {
    // An image of a layout, or a hidden value.
    return [name, digest];
  }
}

/** Values are JSON of one git source, or of several, one after the other. */
function commitChange(was: string, is: string): string {
  const commitsOf = (value: string): string[] =>
    [...value.matchAll(/"commit":"([0-9a-f]{12})/g)].map(([, commit = '']) => commit);
  const old = commitsOf(was);
  const pairs = commitsOf(is).map((commit, i) => [old[i] ?? '', commit] as const);
  const [before, after] = pairs.find(([a, b]) => a !== b) ?? ['', ''];
  return before === '' ? 'the git source changed' : `commit ${before} → ${after}`;
}

function cut(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12);
}

function short(value: string): boolean {
  return value.length <= 60 && !value.startsWith('sha256:') && !HIDDEN.test(value);
}

function quoted(value: string): string {
  return value === '' || /\s/.test(value) ? JSON.stringify(value) : value;
}
