/** The one source of nondeterminism besides the scheduler: trylock outcomes, allocation failures, slab reuse. */
import { cpu, write_heap } from './cpu.ts';

/** Picks one of `count` alternatives; 0 is always the undramatic one. `nth` is the number of choices made before. */
export type Chooser = (kind: string, count: number, nth: number) => number;

export const choices: { decide: Chooser } = { decide: () => 0 };

/** Heap word of the allocator granule that counts choices, so that they rewind. */
export const CHOICE_COUNT = 3;

/** Asks for one of `count` alternatives. `kind` is a stable word: `fail_alloc`, `trylock`, `slab_reuse`. */
export function choose(kind: string, count: number): number {
  const nth = cpu.heap[CHOICE_COUNT] as number;
  write_heap(CHOICE_COUNT, nth + 1);
  return choices.decide(kind, count, nth);
}
