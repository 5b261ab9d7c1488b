// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with the escape character
const SGR = /\u001b\[[0-9;:]*m/;
/** Ends all colours. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const OFF = /^\u001b\[0*m$/;
const RESET = '\u001b[0m';
const TAB_COLUMNS = 8;
const VARIATION_EMOJI = 0xfe0f;
const ZERO_WIDTH_JOINER = 0x200d;
/** A column for each code unit: ASCII, letters of Latin scripts, and what we cut with. */
const NARROW = /^[\u0020-\u007e\u00a0-\u02ff…]*$/;

/** What goes at the end of a text that was cut. */
export interface ClipOptions {
  /** @default … */
  readonly ellipsis?: string;
}

/** Columns that a text takes on a terminal. Colours take none. */
export function widthOf(text: string): number {
  if (NARROW.test(text)) return text.length;
  let width = 0;
  for (const part of partsOf(text)) width += part.width;
  return width;
}

/** Cuts to a width in columns. Tabs become blanks; a colour that is cut off does not leak into what follows. */
export function clip(text: string, columns: number, { ellipsis = '…' }: ClipOptions = {}): string {
  if (NARROW.test(text)) {
    return text.length <= columns
      ? text
      : `${text.slice(0, Math.max(columns - ellipsis.length, 0))}${ellipsis}`;
  }
  let result = '';
  let width = 0;
  let roomy = { result, width };
  let hasColour = false;
  for (const part of partsOf(text)) {
    if (part.isColour) hasColour = !OFF.test(part.text);
    if (width + part.width > columns) {
      return `${roomy.result}${hasColour ? RESET : ''}${ellipsis}`;
    }
    result += part.text;
    width += part.width;
    if (width <= columns - ellipsis.length) roomy = { result, width };
  }
  return hasColour ? `${result}${RESET}` : result;
}

/** Cuts or fills to exactly that many columns. */
export function fitTo(text: string, columns: number, options: ClipOptions = {}): string {
  const clipped = clip(text, columns, options);
  return `${clipped}${' '.repeat(Math.max(columns - widthOf(clipped), 0))}`;
}

interface Part {
  readonly text: string;
  readonly width: number;
  readonly isColour: boolean;
}

/** Colours, and what a terminal draws as one character: emoji joined to one, letters with their marks. */
function* partsOf(text: string): Generator<Part> {
  // The first one takes 10 ms, so whoever has no such text is spared it.
  const segmenter = new Intl.Segmenter();
  let column = 0;
  for (const piece of text.split(new RegExp(`(${SGR.source})`))) {
    if (SGR.test(piece)) {
      yield { text: piece, width: 0, isColour: true };
      continue;
    }
    for (const { segment } of segmenter.segment(piece)) {
      const width = segment === '\t' ? TAB_COLUMNS - (column % TAB_COLUMNS) : segmentWidth(segment);
      column += width;
      yield { text: segment === '\t' ? ' '.repeat(width) : segment, width, isColour: false };
    }
  }
}

function segmentWidth(segment: string): number {
  const codes = [...segment].map((character) => character.codePointAt(0) ?? 0);
  const [first = 0] = codes;
  if (codes.length > 1 && (codes.includes(VARIATION_EMOJI) || codes.includes(ZERO_WIDTH_JOINER))) return 2;
  if (first < 0x300) return 1;
  if (/^(?:\p{Mn}|\p{Me}|\p{Cf})/u.test(segment)) return 0;
  return isWide(first) || /^\p{Emoji_Presentation}/u.test(segment) ? 2 : 1;
}

/** @see Unicode Standard Annex #11, East_Asian_Width W and F */
function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xa960 && code <= 0xa97c) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  );
}
