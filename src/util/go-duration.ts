/** Units of Go's duration texts in nanoseconds. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Reads a Go duration (`1h2m3.5s`) as nanoseconds; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const [, sign, body = ''] = /^([+-]?)(.*)$/su.exec(text) ?? [];
  if (body === '0') return 0;
  if (!/^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/u.test(body)) return undefined;
  let total = 0;
  for (const [, amount, unit] of body.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/gu)) {
    total += Math.round(Number(amount) * (UNITS[unit ?? ''] ?? 0));
  }
  if (total > Number.MAX_SAFE_INTEGER) return undefined;
  return sign === '-' ? -total : total;
}

/** Nanoseconds as Go prints a duration: `1m30s`, `500ms`, `1.5s`, `0s`. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  for (const unit of ['ns', 'µs', 'ms']) {
    const scale = UNITS[unit] ?? 1;
    if (nanoseconds < scale * 1e3) return `${nanoseconds / scale}${unit}`;
  }
  const whole = Math.floor(nanoseconds / 1e9);
  const fraction = nanoseconds % 1e9;
  const seconds = `${whole % 60}${fraction === 0 ? '' : `.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes === 0) return seconds;
  return minutes < 60 ? `${minutes}m${seconds}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}
