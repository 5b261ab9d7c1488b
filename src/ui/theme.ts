import type { StepView } from './view-model.ts';

export type Style =
  | 'header'
  | 'mark'
  | 'done'
  | 'cached'
  | 'failed'
  | 'cancelled'
  | 'warning'
  | 'quiet'
  | 'stage'
  | 'bar';

/** How things look on this terminal. */
export interface Theme {
  /** What may go on in colour, where the terminal shows colours. */
  readonly color: boolean;
  readonly ellipsis: string;
  readonly rule: string;
  paint(style: Style, text: string): string;
  /** One column that tells a step's state. */
  mark(state: StepView['state']): string;
  /** A bar of that many columns. */
  bar(share: number, columns: number): string;
}

const CODES: Readonly<Record<Style, string>> = {
  header: '1',
  mark: '36',
  done: '32',
  cached: '34',
  failed: '31',
  cancelled: '31',
  warning: '33',
  quiet: '2',
  stage: '1',
  bar: '36',
};

const STYLE_OF: Readonly<Record<StepView['state'], Style>> = {
  waiting: 'quiet',
  running: 'mark',
  cached: 'cached',
  done: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
};

const UNICODE_MARKS = { waiting: ' ', running: '▸', cached: '=', done: '✓', failed: '✗', cancelled: '-' };
const ASCII_MARKS = { waiting: ' ', running: '>', cached: '=', done: '+', failed: 'x', cancelled: '-' };

export function createTheme({
  color,
  unicode,
  colors = {},
}: {
  readonly color: boolean;
  readonly unicode: boolean;
  /** Other colours than the usual ones. */
  readonly colors?: Readonly<Partial<Record<Style, string>>>;
}): Theme {
  const marks = unicode ? UNICODE_MARKS : ASCII_MARKS;
  const [full, empty] = unicode ? ['━', '─'] : ['#', '.'];
  const paint = (style: Style, text: string): string =>
    color && text !== '' ? `\u001b[${colors[style] ?? CODES[style]}m${text}\u001b[0m` : text;
  return {
    color,
    ellipsis: unicode ? '…' : '~',
    rule: unicode ? '│' : '|',
    paint,
    mark: (state) => paint(STYLE_OF[state], marks[state]),
    bar(share, columns) {
      const filled = Math.round(Math.min(Math.max(share, 0), 1) * columns);
      return paint('bar', full.repeat(filled)) + paint('quiet', empty.repeat(columns - filled));
    },
  };
}
