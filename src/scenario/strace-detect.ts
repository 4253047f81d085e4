/** Telling an strace log from a script. */
import { isNamePart, isSpace } from './lex.ts';
import { readPrefix } from './strace-line.ts';
import { isSystemCall } from './syscalls.ts';

/** So many lines with words on them decide. */
const looksAt = 40;

type LineKind = 'trace' | 'script' | 'unknown';

/**
 * Whether the text is a log that strace wrote. A script may hold strace's lines between its own; then
 * it is a script. Looks at the beginning only.
 */
export function isStraceLog(text: string): boolean {
  let traceLines = 0;
  let unknownLines = 0;
  let start = 0;
  while (start < text.length && traceLines + unknownLines < looksAt) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const kind = kindOfLine(text, start, end);
    if (kind === 'script') return false;
    if (kind === 'trace') traceLines++;
    else if (kind === 'unknown') unknownLines++;
    start = end + 1;
  }
  // A traced program may print between the lines, but hardly more than its calls.
  return traceLines > 0 && traceLines >= unknownLines;
}

/** undefined for an empty line. */
function kindOfLine(text: string, start: number, lineEnd: number): LineKind | undefined {
  let end = lineEnd;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  // -k prints the stack under each call.
  if (end === start || text.startsWith(' > ', start)) return undefined;
  const head = text.slice(start, Math.min(end, start + 100));
  if (/^\s*(?:#|race\s*\{|\}|(?:title|about|kernels|config|verdict|expect)\s)/.test(head)) {
    return 'script';
  }
  if (/^\s*[A-Za-z_]\w*\s*(?::\s|=\s)/.test(head)) {
    return head.startsWith('strace: ') ? 'trace' : 'script';
  }
  const { at } = readPrefix(text, start, end);
  if (/^(?:\+\+\+ |--- |<\.\.\. \w+ resumed>)/.test(text.slice(at, at + 60))) return 'trace';
  let nameEnd = at;
  while (nameEnd < end && isNamePart(text.charCodeAt(nameEnd))) nameEnd++;
  if (text[nameEnd] !== '(' || !isSystemCall(text.slice(at, nameEnd))) return 'unknown';
  const tail = text.slice(Math.max(at, end - 400), end);
  const hasResult = /\)\s*= \S/.test(tail) || tail.endsWith('<unfinished ...>');
  return hasResult || / attached$/.test(tail) ? 'trace' : 'unknown';
}
