/**
 * Page tables as memory has them, read without any of the kernel's walks: what an address maps to,
 * and every entry of a range. Entry encodings are those of mm/pgtable.ts.
 */
import type { mm_struct } from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import { PTRS_PER_TABLE } from '../../sim/table.ts';

const PAGE = 4096;
/** Bytes that one entry of each level spans, PGD first. */
const SPANS = [2 ** 39, 2 ** 30, 2 ** 21, PAGE] as const;
const NAMES = ['PGD', 'PUD', 'PMD', 'PTE'] as const;
const PRESENT = 1;
const PROTNONE = 1 << 4;
const PSE = 1 << 6;

export interface Level {
  readonly name: 'PGD' | 'PUD' | 'PMD' | 'PTE';
  readonly index: number;
  /** Word of the entry in the page-table pool. */
  readonly at: number;
  readonly value: number;
}

/** Whether an entry of an upper level leads to a lower table. */
function isTable(value: number): boolean {
  return value >>> 8 !== 0 && (value & PRESENT) !== 0 && (value & PSE) === 0;
}

/** Whether an entry of a PMD is the migration entry of a huge page: neither a table nor a mapping. */
export function isPmdMigration(name: Level['name'], value: number): boolean {
  return name === 'PMD' && value !== 0 && (value & (PRESENT | PROTNONE | PSE)) === 0;
}

/** A leaf as a PTE: a PMD has the upper bit of a migration entry's kind in bit 1, in place of PSE. */
export function asPte(name: Level['name'], value: number): number {
  if (!isPmdMigration(name, value)) return value;
  return ((value & ~2) | ((value & 2) !== 0 ? PSE : 0)) >>> 0;
}

/** Entries that translating `address` reads, from the PGD down to the first that leads nowhere. */
export function levelsOf(mm: mm_struct, address: number): Level[] {
  const levels: Level[] = [];
  let table = mm.pgd;
  for (const [depth, name] of NAMES.entries()) {
    if (table === 0) break;
    const index = Math.floor(address / (SPANS[depth] as number)) % PTRS_PER_TABLE;
    const at = table * PTRS_PER_TABLE + index;
    const value = cpu.pte[at] ?? 0;
    levels.push({ name, index, at, value });
    if (name === 'PTE' || !isTable(value)) break;
    table = value >>> 8;
  }
  return levels;
}

/**
 * The leaf that `address` translates through, a PTE, a huge PMD entry or its migration entry (as a PTE); null if a level
 * is missing.
 */
export function leafOf(mm: mm_struct, address: number): Level | null {
  const last = levelsOf(mm, address).at(-1);
  if (last === undefined) return null;
  if (isPmdMigration(last.name, last.value)) {
    return { ...last, value: asPte(last.name, last.value) };
  }
  return last.name === 'PTE' || (last.name === 'PMD' && (last.value & PSE) !== 0) ? last : null;
}

/** Whether an entry maps a page: present, or PROT_NONE with its frame kept. */
export function isPresent(value: number): boolean {
  return (value & (PRESENT | PROTNONE)) !== 0;
}

/** Page frame mapped at an address, or -1. */
export function mappedPage(mm: mm_struct, address: number): number {
  const leaf = leafOf(mm, address);
  if (leaf === null || !isPresent(leaf.value)) return -1;
  const within = leaf.name === 'PMD' ? Math.floor(address / PAGE) % PTRS_PER_TABLE : 0;
  return (leaf.value >>> 8) + within;
}

/** Receives each non-zero leaf of a range, as a PTE; `pages` is 512 for a huge one. */
export type Visit = (address: number, value: number, pages: number) => void;

/** Visits the leaves of [start, end) in address order. */
export function visitLeaves(mm: mm_struct, start: number, end: number, visit: Visit): void {
  if (mm.pgd > 0) visitTable(mm.pgd, 0, 0, start, end, visit);
}

function visitTable(
  table: number,
  depth: number,
  base: number,
  start: number,
  end: number,
  visit: Visit,
): void {
  const span = SPANS[depth] as number;
  const first = Math.max(0, Math.floor((start - base) / span));
  const last = Math.min(PTRS_PER_TABLE - 1, Math.ceil((end - base) / span) - 1);
  const words = table * PTRS_PER_TABLE;
  for (let index = first; index <= last; index++) {
    const value = cpu.pte[words + index] ?? 0;
    if (value === 0) continue;
    const address = base + index * span;
    if (depth === 3) visit(address, value, 1);
    else if (isTable(value)) visitTable(value >>> 8, depth + 1, address, start, end, visit);
    else if (depth === 2) visit(address, asPte('PMD', value), PTRS_PER_TABLE);
  }
}

/** All of user space. */
export const USER_END = 2 ** 47;

/** Pages present, and pages swapped out or under migration, in a range. */
export function countPages(
  mm: mm_struct,
  start: number,
  end: number,
): { readonly present: number; readonly swapped: number } {
  let present = 0;
  let swapped = 0;
  visitLeaves(mm, start, end, (_address, value, pages) => {
    if (isPresent(value)) present += pages;
    else if (nonPresentKind(value) !== 'marker') swapped += pages;
  });
  return { present, swapped };
}

/** What a non-zero entry without PRESENT and PROTNONE stands for. */
export function nonPresentKind(value: number): 'swap' | 'migration' | 'marker' {
  const kind = (value >>> 1) & 3;
  return kind === 1 ? 'swap' : kind === 2 ? 'migration' : 'marker';
}
