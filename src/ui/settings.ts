import type { Style } from './theme.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** What BuildKit's variables say about the look of progress. */
export interface Settings {
  /** Lines of output below a running step; undefined: as many as fit. */
  readonly logLines?: number;
  /** Whether names of steps are cut where they are too long; undefined: as the format does. */
  readonly cutsNames?: boolean;
  /** Parameters of the colour sequence for each style that is to look otherwise. */
  readonly colors: Readonly<Partial<Record<Style, string>>>;
  /** At most one, about all that cannot be used. */
  readonly warnings: readonly string[];
}

const STYLES: Readonly<Record<string, readonly Style[]>> = {
  run: ['mark', 'done', 'cached', 'bar'],
  cancel: ['cancelled'],
  error: ['failed'],
  warning: ['warning'],
};

const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];

/** Reads `BUILDKIT_TTY_LOG_LINES` (a number), `PROGRESS_NO_TRUNC` (1 or 0) and `BUILDKIT_COLORS`
 * (`run=green:warning=yellow:error=red:cancel=255,165,0`). What cannot be used has no effect. */
export function settingsOf(env: Env): Settings {
  const faults: string[] = [];
  const lines = env.BUILDKIT_TTY_LOG_LINES || undefined;
  const isCount = lines !== undefined && /^[1-9]\d{0,4}$/.test(lines);
  if (lines !== undefined && !isCount) faults.push(`BUILDKIT_TTY_LOG_LINES "${lines}" (a number from 1 on)`);
  const trunc = env.PROGRESS_NO_TRUNC;
  const colors: Partial<Record<Style, string>> = {};
  for (const part of (env.BUILDKIT_COLORS ?? '').split(':').filter((each) => each !== '')) {
    const [key = '', value = '', ...more] = part.toLowerCase().split('=');
    const styles = STYLES[key];
    const code = colorCode(value);
    if (styles === undefined || code === undefined || more.length > 0) {
      faults.push(`"${part}" of BUILDKIT_COLORS (run, cancel, error or warning=NAME or R,G,B)`);
    } else for (const style of styles) colors[style] = code;
  }
  return {
    ...(isCount ? { logLines: Number(lines) } : {}),
    ...(trunc === '0' || trunc === '1' ? { cutsNames: trunc === '0' } : {}),
    colors,
    warnings: faults.length === 0 ? [] : [`Cannot use ${faults.join(', ')}: it has no effect`],
  };
}

function colorCode(value: string): string | undefined {
  if (value === 'default') return '39';
  const place = NAMES.indexOf(value.replace(/^light-/, ''));
  if (place >= 0) return String((value.startsWith('light-') ? 90 : 30) + place);
  const parts = value.split(',').map((part) => part.trim());
  const isRgb = parts.length === 3 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
  return isRgb ? `38;2;${parts.map(Number).join(';')}` : undefined;
}
