/** Page-table memory: tables of 512 words in one pool, numbered from 1 (0 is "no table"). */
import { cpu, write_heap, write_pte } from './cpu.ts';

export const PTRS_PER_TABLE = 512;

/** Allocator words of granule 0: tables ever made, and the first free one (linked through word 0). */
const TABLE_COUNT = 4;
const TABLE_FREE = 5;

/** Words of page-table memory in use since boot. */
export function tableEnd(): number {
  return ((cpu.heap[TABLE_COUNT] as number) + 1) * PTRS_PER_TABLE;
}

/** A table with all entries zero. */
export function allocTable(): number {
  let table = cpu.heap[TABLE_FREE] as number;
  if (table !== 0) {
    write_heap(TABLE_FREE, cpu.pte[table * PTRS_PER_TABLE] as number);
  } else {
    table = (cpu.heap[TABLE_COUNT] as number) + 1;
    write_heap(TABLE_COUNT, table);
    const end = (table + 1) * PTRS_PER_TABLE;
    if (end > cpu.pte.length) {
      const grown = new Uint32Array(Math.max(end, cpu.pte.length * 2));
      grown.set(cpu.pte);
      cpu.pte = grown;
    }
  }
  const base = table * PTRS_PER_TABLE;
  for (let i = base; i < base + PTRS_PER_TABLE; i++) {
    if (cpu.pte[i] !== 0) write_pte(i, 0);
  }
  return table;
}

/** Gives a table back. Its contents stay until it is allocated again, as a stale walker would see them. */
export function freeTable(table: number): void {
  write_pte(table * PTRS_PER_TABLE, cpu.heap[TABLE_FREE] as number);
  write_heap(TABLE_FREE, table);
}
