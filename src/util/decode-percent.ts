/** Text with its percent escapes resolved; as it is where it holds a bare "%". */
export function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
