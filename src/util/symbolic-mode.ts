/** What a mode becomes; 0–07777. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

/** `u`, `g` and `o` in the bits that each of them owns; the sticky bit belongs to nobody. */
const OWNED: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o0007, a: 0o6777 };
const SHIFTS: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };
const PERMISSIONS: Readonly<Record<string, number>> = { r: 0o444, w: 0o222, x: 0o111, s: 0o6000 };
const STICKY = 0o1000;
const ANY_EXECUTE = 0o111;
const RWX = 0o777;

type Operator = '+' | '-' | '=';

/**
 * Reads a symbolic mode in the grammar of BSD's setmode(3), which Docker's `--chmod` follows: clauses at commas,
 * each `[ugoa]*` and then operators with permissions `rwxXst` or copies `u`, `g`, `o`. Nobody named is everybody,
 * without a umask. `X` looks at the mode as it was before the first clause.
 * @returns undefined where the text is no such mode
 */
export function compileMode(text: string): ModeChange | undefined {
  const steps: ModeStep[] = [];
  for (const clause of text.split(',')) {
    const [, who = '', actions = ''] = /^([ugoa]*)((?:[-+=][rwxXstugo]*)+)$/.exec(clause) ?? [];
    if (actions === '') return undefined;
    for (const [, operator, permissions = ''] of actions.matchAll(/([-+=])([rwxXstugo]*)/g)) {
      steps.push(...compileAction(who, operator as Operator, permissions));
    }
  }
  return (mode, isDirectory) => {
    const original = isDirectory ? mode | ANY_EXECUTE : mode;
    return steps.reduce((current, step) => step(current, original), mode);
  };
}

type ModeStep = (mode: number, original: number) => number;

/** Copies act at once, one after the other; plain permissions are gathered until a copy or the end. */
function compileAction(who: string, operator: Operator, permissions: string): ModeStep[] {
  let named = 0;
  for (const letter of who) named |= OWNED[letter] ?? 0;
  const steps: ModeStep[] = [];
  let bits = 0;
  let execute = false;
  let copied = false;
  const flush = (): void => {
    // Of nobody named the sticky bit makes itself the only one that counts, as in setmode(3).
    steps.push(setBits(operator, named === 0 ? 0o6777 : named, { bits, execute }));
    bits = 0;
    execute = false;
  };
  for (const letter of permissions) {
    if (letter === 'X') execute = true;
    else if (letter === 't') {
      if (named !== OWNED.o) {
        named |= STICKY;
        bits |= STICKY;
      }
    } else if (SHIFTS[letter] === undefined) bits |= PERMISSIONS[letter] ?? 0;
    else {
      if (bits !== 0 || execute) flush();
      steps.push(copyBits(operator, named === 0 ? RWX : named & RWX, SHIFTS[letter]));
      copied = true;
    }
  }
  if (bits !== 0 || execute || (operator === '=' && !copied)) flush();
  return steps;
}

function setBits(
  operator: Operator,
  who: number,
  { bits, execute }: { bits: number; execute: boolean },
): ModeStep {
  return (mode, original) => {
    // To take execution away needs no look at who had it.
    const wanted =
      execute && (operator === '-' || (original & ANY_EXECUTE) !== 0) ? bits | ANY_EXECUTE : bits;
    if (operator === '+') return mode | (wanted & who);
    if (operator === '-') return mode & ~(wanted & who);
    return (mode & ~who) | (wanted & who);
  };
}

function copyBits(operator: Operator, who: number, shift: number): ModeStep {
  return (mode) => {
    const wanted = (((mode >> shift) & 7) * 0o111) & who;
    if (operator === '+') return mode | wanted;
    if (operator === '-') return mode & ~wanted;
    return (mode & ~who) | wanted;
  };
}
