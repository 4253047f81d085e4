import stringWidth from 'string-width';

/**
 * Width of user text. string-width segments graphemes and is slow, so each distinct string is
 * measured once; the cache is dropped whole when it has grown past what a long session reuses.
 */

const LIMIT = 20_000;
const widths = new Map<string, number>();

export function textWidth(text: string): number {
  if (isAscii(text)) return text.length;
  const known = widths.get(text);
  if (known !== undefined) return known;
  if (widths.size >= LIMIT) widths.clear();
  const width = stringWidth(text);
  widths.set(text, width);
  return width;
}

/** Printable ASCII: one column for each code unit. */
export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}
