/** Recorded calls left out because nothing simulates them. What is no longer history did not happen. */
export class LeftOut {
  #calls: { readonly name: string; readonly step: number }[] = [];

  add(name: string, step: number): void {
    this.#calls.push({ name, step });
  }

  forgetAfter(step: number): void {
    this.#calls = this.#calls.filter((call) => call.step <= step);
  }

  /** Names with their counts. */
  [Symbol.iterator](): IterableIterator<[string, number]> {
    const counts = new Map<string, number>();
    for (const { name } of this.#calls) counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts[Symbol.iterator]();
  }
}
