/** A text as Go's strconv.ParseBool reads it, but in any case; undefined where it is neither. */
export function goBool(text: string): boolean | undefined {
  if (/^(?:1|t|true)$/i.test(text)) return true;
  return /^(?:0|f|false)$/i.test(text) ? false : undefined;
}
