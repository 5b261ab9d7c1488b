type Env = Readonly<Record<string, string | undefined>>;

/** What may be done on a terminal, by the usual variables. */
export interface Capabilities {
  /** The cursor can be moved at all. */
  readonly canDraw: boolean;
  /** Someone sees a screen that changes: nobody does in CI, and a screen reader would read it again and again. */
  readonly likesDrawing: boolean;
  readonly color: boolean;
  /** Nobody wants colours, not even those of programs in a build. */
  readonly refusesColor: boolean;
  /** Characters beyond ASCII are shown. */
  readonly unicode: boolean;
}

/** @see https://no-color.org and https://bixense.com/clicolors */
export function capabilitiesOf(env: Env, isTerminal: boolean): Capabilities {
  const canDraw = isTerminal && env.TERM !== 'dumb';
  return {
    canDraw,
    likesDrawing: canDraw && !isOn(env.CI) && !isOn(env.INK_SCREEN_READER),
    color: hasColor(env, canDraw),
    refusesColor: !hasColor(env, !isTerminal || canDraw),
    unicode: env.TERM !== 'linux' && speaksUtf8(env.LC_ALL || env.LC_CTYPE || env.LANG),
  };
}

function hasColor(env: Env, canDraw: boolean): boolean {
  if (isSet(env.NO_COLOR)) return false;
  if (isSet(env.FORCE_COLOR)) return isOn(env.FORCE_COLOR);
  if (isOn(env.CLICOLOR_FORCE)) return true;
  return canDraw && env.CLICOLOR !== '0';
}

/** Containers and services seldom name a locale, and their terminals are today's. */
function speaksUtf8(locale: string | undefined): boolean {
  return !isSet(locale) || /utf-?8/i.test(locale);
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}

function isOn(value: string | undefined): boolean {
  return isSet(value) && value !== '0' && value !== 'false';
}
