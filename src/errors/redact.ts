const MASK = '***';

/** Escape sequences (CSI, OSC with either end, two-byte ones), as one piece each. */
const ESCAPE_SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])|\u009b[0-?]*[ -/]*[@-~]/g;
/** C0 but tab and line feed, DEL, C1, and the marks that reorder text (Trojan Source). */
const CONTROL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: see above
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: see above
const NEEDS_STRIPPING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours and weights only
const COLOUR = /^\u001b\[[0-9;:]*m$/;

const USERINFO = /\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#@"'<>]{1,1024}@/gi;
const AUTHORIZATION = /\b(authorization["']?\s*[:=]\s*["']?(?:(?:basic|bearer|token)\s*)?)[^\s"',;]{4,}/gi;
const BEARER = /\b(bearer\s+)[\w.~+/-]{8,}=*/gi;
const PARAMETER =
  /([?&;](?:access_token|refresh_token|id_token|token|password|passwd|secret|client_secret|api_key|apikey|sig|signature|x-amz-signature|x-amz-security-token|x-amz-credential)=)[^\s&#"'<>;]+/gi;
/** Tokens that say what they are by their first letters. */
const KNOWN_TOKENS =
  /\b(?:gh[pousr]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{16,255}|npm_[A-Za-z0-9]{30,64}|xox[abprs]-[\w-]{10,255}|dckr_pat_[\w-]{20,255}|A(?:KIA|SIA)[A-Z0-9]{16}|eyJ[\w-]{8,2000}\.eyJ[\w-]{8,8000}\.[\w-]{8,2000})(?![\w-])/g;

/** Text that is safe to show: control characters out first (they could split a secret), then credentials.
 * @param secrets values that must not appear, whatever they look like */
export function redact(text: string, secrets: readonly string[] = []): string {
  return redactCredentials(stripControls(text), secrets);
}

/** Removes escape sequences and control characters; tab and line feed stay, `\r\n` becomes `\n`. */
export function stripControls(text: string, options: { readonly keepColours?: boolean } = {}): string {
  if (!NEEDS_STRIPPING.test(text)) return text;
  if (options.keepColours !== true) return text.replace(ESCAPE_SEQUENCE, '').replace(CONTROL, '');
  let result = '';
  let from = 0;
  for (const match of text.matchAll(ESCAPE_SEQUENCE)) {
    result += text.slice(from, match.index).replace(CONTROL, '');
    if (COLOUR.test(match[0])) result += match[0];
    from = match.index + match[0].length;
  }
  return result + text.slice(from).replace(CONTROL, '');
}

/** Masks user and password in URLs, authorization headers, token parameters, tokens of known shape, and
 * `secrets` (those of four characters and more; shorter ones would mask ordinary text). */
export function redactCredentials(text: string, secrets: readonly string[] = []): string {
  let result = text;
  for (const secret of secrets) if (secret.length >= 4) result = result.replaceAll(secret, MASK);
  if (result.includes('://')) result = result.replace(USERINFO, `$1${MASK}@`);
  if (/auth|bearer/i.test(result)) {
    result = result.replace(AUTHORIZATION, `$1${MASK}`).replace(BEARER, `$1${MASK}`);
  }
  if (result.includes('=')) result = result.replace(PARAMETER, `$1${MASK}`);
  return result.replace(KNOWN_TOKENS, MASK);
}
