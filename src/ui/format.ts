import { redactCredentials, stripControls } from '../errors/redact.ts';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** `432B`, `1.98MB`: decimal units, as Docker shows them. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(2)}${UNITS[unit]}`;
}

/** Whether a status counts things, by its name; others are bytes. */
export function countsThings(id: string): boolean {
  return /\b(files|entries|layers|blobs|steps|objects|deltas)$/.test(id);
}

/** Current and total of a status: bytes, or a count where its name says that it counts things. */
export function formatAmount(id: string, current: number, total: number | undefined): string {
  const format = countsThings(id) ? String : formatBytes;
  if (total === undefined || total === 0) return current === 0 ? '' : format(current);
  return `${format(current)} / ${format(total)}`;
}

export function formatSeconds(ms: number): string {
  return `${(Math.max(ms, 0) / 1000).toFixed(1)}s`;
}

/** A line of a step's output as it may reach a terminal: colours stay, unless they are refused, everything else that
 * moves a cursor goes; of text that overwrote itself with carriage returns the last state is left. */
export function safeLine(
  line: string,
  secrets: readonly string[],
  { keepColours }: { readonly keepColours: boolean } = { keepColours: true },
): string {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  const visible = text.slice(text.lastIndexOf('\r') + 1);
  return redactCredentials(stripControls(visible, { keepColours }), secrets);
}

/** A name or message on one line, without colours. */
export function safeText(text: string, secrets: readonly string[]): string {
  return redactCredentials(stripControls(text.replace(/\s*\n\s*/g, ' ')), secrets);
}

/** A warning on one line, with the page that explains it. */
export function warningText(
  { message, url }: { readonly message: string; readonly url?: string },
  secrets: readonly string[],
): string {
  return safeText(url === undefined ? message : `${message}, see ${url}`, secrets);
}

/** The lines that end a build with warnings. */
export function warningSummary(warnings: readonly string[], total: number = warnings.length): string[] {
  if (total === 0) return [];
  const count = total === 1 ? '1 warning' : `${total} warnings`;
  return ['', `${count} found:`, ...warnings.map((text) => ` - ${text}`)];
}
