/** FNV-1a over UTF-16 code units: 32 bits, unsigned. For identities (scenario hash), not for security. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

/** Folds one 32-bit word into a running hash (murmur3's mixing step); the result is a signed 32-bit number. */
export function mixWord(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  let h = hash ^ Math.imul(k, 0x1b873593);
  h = (h << 13) | (h >>> 19);
  return (Math.imul(h, 5) + 0xe6546b64) | 0;
}

/** Folds a double into a running hash, exactly for every integer up to 2^53. */
export function mixNumber(hash: number, value: number): number {
  const high = Math.floor(value / 0x1_0000_0000);
  return mixWord(mixWord(hash, value | 0), high | 0);
}

/** Eight hexadecimal digits of a 32-bit hash. */
export function hashHex(hash: number): string {
  return (hash >>> 0).toString(16).padStart(8, '0');
}
