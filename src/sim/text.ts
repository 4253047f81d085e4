/**
 * Texts as heap words. The number of a text is a 52-bit hash of it, so that it does not depend on
 * what else a process has run: equal histories have equal memory everywhere.
 */
import { assert } from '../base/assert.ts';
import { hashText } from '../base/hash.ts';

const texts = new Map<number, string>([[0, '']]);

export function textId(text: string): number {
  if (text === '') return 0;
  const id = hashText(text) * 0x10_0000 + (hashText(`\n${text}`) >>> 12);
  const known = texts.get(id);
  if (known === undefined) texts.set(id, text);
  else assert(known === text, `the texts ${known} and ${text} have the same number`);
  return id;
}

export function textOf(id: number): string {
  return texts.get(id) ?? '';
}
