/** Interned texts, so that a name fits a heap word. Append-only; ids follow first use, which is deterministic. */
const texts: string[] = [''];
const ids = new Map<string, number>([['', 0]]);

export function textId(text: string): number {
  let id = ids.get(text);
  if (id === undefined) {
    id = texts.push(text) - 1;
    ids.set(text, id);
  }
  return id;
}

export function textOf(id: number): string {
  return texts[id] ?? '';
}
