/**
 * page->list of the kernels to 2.5: the neighbours of a page on the list of its mapping. The frames have no words for
 * it; two tables by frame number have. Fidelity: custom.
 */
import { read_pte, write_pte } from '../../../sim/cpu.ts';
import { allocTable, PTRS_PER_TABLE } from '../../../sim/table.ts';
import type { page } from '../../mm_types.ts';
import { early24Globals } from './globals.ts';

/** Word of a frame in one of the tables of tables; made if need be. */
function wordOf(directory: number, pfn: number): number {
  const at = directory * PTRS_PER_TABLE + Math.floor(pfn / PTRS_PER_TABLE);
  let table = read_pte(at);
  if (table === 0) {
    table = allocTable();
    write_pte(at, table);
  }
  return table * PTRS_PER_TABLE + (pfn % PTRS_PER_TABLE);
}

function nextWord(page: page): number {
  const globals = early24Globals();
  if (globals.list_next === 0) {
    globals.list_next = allocTable();
  }
  return wordOf(globals.list_next, page.pfn);
}

function prevWord(page: page): number {
  const globals = early24Globals();
  if (globals.list_prev === 0) {
    globals.list_prev = allocTable();
  }
  return wordOf(globals.list_prev, page.pfn);
}

/** Neighbours: pfn + 1, 0 = none. */
export const list_next_of = (page: page): number => read_pte(nextWord(page));
export const list_prev_of = (page: page): number => read_pte(prevWord(page));

export function set_list_next(page: page, link: number): void {
  write_pte(nextWord(page), link);
}

export function set_list_prev(page: page, link: number): void {
  write_pte(prevWord(page), link);
}
