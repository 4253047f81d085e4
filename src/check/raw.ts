/**
 * The judges' own reading of memory: lists, trees, page tables and the heads of pages, straight from the
 * words. Nothing of the kernel's code is used, only its layouts.
 */
import { cpu, FRAME_WORDS } from '../sim/cpu.ts';
import { PTRS_PER_TABLE } from '../sim/table.ts';

/** A structure so broken that it cannot be read to its end; the judge that meets it reports it. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

/** Longest list or tree that is believed. */
const MANY = 1_000_000;

function word(at: number): number {
  return cpu.heap[at] as number;
}

/** Addresses of the entries of a list_head, in order; checks the back pointers. */
export function listEntries(head: number): number[] {
  const entries: number[] = [];
  let before = head;
  for (let at = word(head); at !== head; at = word(at)) {
    if (at === 0) throw new Broken('a list ends in nothing');
    if (word(at + 1) !== before)
      throw new Broken('neighbours of a list do not point at each other');
    if (entries.push(at) > MANY) throw new Broken('a list does not end');
    before = at;
  }
  if (word(head + 1) !== before)
    throw new Broken('neighbours of a list do not point at each other');
  return entries;
}

/** Node words: parent, colour (0 red), left, right. */
const COLOUR = 1;
const LEFT = 2;
const RIGHT = 3;

export interface TreeNode {
  readonly at: number;
  /** 0 = none. */
  readonly left: number;
  readonly right: number;
}

/** Nodes of an rb_root in order; checks parents, colours, black heights and the leftmost node. */
export function treeNodes(root: number): TreeNode[] {
  const nodes: TreeNode[] = [];
  const down = (at: number, parent: number, redParent: boolean): number => {
    if (at === 0) return 1;
    if (word(at) !== parent) throw new Broken('a tree node has another parent');
    const red = word(at + COLOUR) === 0;
    if (red && redParent) throw new Broken('a red tree node has a red parent');
    const left = word(at + LEFT);
    const right = word(at + RIGHT);
    const height = down(left, at, red);
    if (nodes.push({ at, left, right }) > MANY) throw new Broken('a tree does not end');
    if (down(right, at, red) !== height) throw new Broken('a tree is not balanced');
    return height + (red ? 0 : 1);
  };
  down(word(root), 0, true);
  if (word(root + 1) !== (nodes[0]?.at ?? 0)) throw new Broken('the leftmost node is another');
  return nodes;
}

// ---- page tables

export const PAGE = 4096;
/** Bits of a present entry; PROTNONE keeps the frame but allows nothing. */
export const PRESENT = 1;
export const WRITE = 2;
const PROTNONE = 0x10;
export const SPECIAL = 0x20;
const HUGE = 0x40;
/** Kinds of an entry that is neither none nor present: bits 1 and 2. */
const KIND = 6;
const KIND_SWAP = 2;
const KIND_MIGRATION = 4;

export type EntryKind = 'present' | 'swap' | 'migration' | 'other';

export function entryKind(value: number): EntryKind {
  if ((value & (PRESENT | PROTNONE)) !== 0) return 'present';
  if ((value & KIND) === KIND_SWAP) return 'swap';
  return (value & KIND) === KIND_MIGRATION ? 'migration' : 'other';
}

/** Frame of a present or migration entry, offset of a swap entry. */
export function entryFrame(value: number): number {
  return value >>> 8;
}

/** In a PMD the upper bit of a migration entry's kind is here, for its own place is HUGE. */
const PMD_KIND_HIGH = 2;

/** Whether an entry at PMD level stands for a huge page that is being migrated: neither mapping nor table. */
export function isPmdMigration(value: number): boolean {
  return value !== 0 && (value & (PRESENT | PROTNONE | HUGE)) === 0;
}

/** Such an entry as the first of 512 PTEs would be. */
export function pmdMigrationEntry(value: number): number {
  const write = (value & PMD_KIND_HIGH) !== 0;
  return ((value & ~PMD_KIND_HIGH) | (write ? HUGE : 0)) >>> 0;
}

/** Calls `found` for each non-empty entry below `pgd`, in address order; returns the number of tables below it. */
export function scanTables(
  pgd: number,
  found: (address: number, value: number, table: number, pages: number) => void,
): number {
  let tables = 0;
  const { pte } = cpu;
  const scan = (table: number, level: number, base: number): void => {
    const size = PAGE * PTRS_PER_TABLE ** (level - 1);
    const first = table * PTRS_PER_TABLE;
    for (let i = 0; i < PTRS_PER_TABLE; i++) {
      const value = pte[first + i] as number;
      if (value === 0) continue;
      const address = base + i * size;
      const leaf = level === 2 && ((value & HUGE) !== 0 || isPmdMigration(value));
      if (level > 1 && !leaf) {
        tables++;
        scan(value >>> 8, level - 1, address);
      } else if (leaf) {
        // A huge page keeps a table for the day it is split.
        tables++;
        found(address, value, table, PTRS_PER_TABLE);
      } else {
        found(address, value, table, 1);
      }
    }
  };
  if (pgd !== 0) scan(pgd, 4, 0);
  return tables;
}

// ---- page frames: words of struct page, in the order of mm_types.ts

export interface RawPage {
  readonly pfn: number;
  readonly flags: number;
  readonly refcount: number;
  /** From 0: page-table entries. */
  readonly mapcount: number;
  readonly mapping: number;
  readonly index: number;
  readonly private: number;
}

export const LOCKED = 1 << 0;
export const HEAD = 1 << 9;
export const SWAPBACKED = 1 << 11;
const SWAPCACHE = 1 << 14;
export const EXCLUSIVE = 1 << 15;
export const RESERVED = 1 << 16;
export const BUDDY = 1 << 18;
export const PARTIALLY_MAPPED = 1 << 21;

/** Neighbours on an LRU or free list: pfn + 1, 0 = none. */
export function rawLink(pfn: number): { readonly next: number; readonly prev: number } {
  const at = pfn * FRAME_WORDS;
  return { next: cpu.frame[at + 5] as number, prev: cpu.frame[at + 6] as number };
}

const COMPOUND_HEAD = 7;

const REFCOUNT = 1;
const MAPCOUNT = 2;

/** Frames that somebody refers to, maps or has flagged, free ones of the buddy allocator aside; ascending. */
export function framesInUse(): number[] {
  const used: number[] = [];
  const { frame } = cpu;
  for (let at = 0, pfn = 0; at < frame.length; at += FRAME_WORDS, pfn++) {
    // Most frames are free or were never used: looked at without making an object.
    const flags = frame[at] as number;
    if (frame[at + REFCOUNT] === 0 && (flags === 0 || (flags & BUDDY) !== 0)) {
      const mapcount = frame[at + MAPCOUNT] as number;
      if (mapcount === 0 || mapcount === -1 || (flags & BUDDY) !== 0) continue;
    }
    used.push(pfn);
  }
  return used;
}

/** Head frame of the folio that the frame is part of. */
export function headOf(pfn: number): number {
  const compound = cpu.frame[pfn * FRAME_WORDS + COMPOUND_HEAD] as number;
  return compound === 0 ? pfn : compound - 1;
}

/** Pages of the folio that begins in a frame: the order of a large one is in its first tail. */
export function folioPages(head: number): number {
  const isHead = ((cpu.frame[head * FRAME_WORDS] as number) & HEAD) !== 0;
  return isHead ? 2 ** (cpu.frame_index[head + 1] as number) : 1;
}

/** PMD mappings of a large folio: in its first tail. */
export function entireMapcount(head: number): number {
  return (cpu.frame[(head + 1) * FRAME_WORDS + 5] as number) + 1;
}
/** All mappings of a large folio. */
export function largeMapcount(head: number): number {
  return (cpu.frame[(head + 1) * FRAME_WORDS + 3] as number) + 1;
}
/** _nr_pages_mapped of a large folio. */
export function pagesMapped(head: number): number {
  return cpu.frame[(head + 1) * FRAME_WORDS + 4] as number;
}

/** _pincount of a large folio. */
export function pinCount(head: number): number {
  return cpu.frame[(head + 1) * FRAME_WORDS + 6] as number;
}

/** The split queue in the third tail of a large folio: whether it is queued, and its neighbours (pfn + 1). */
export function splitQueueLink(head: number): {
  readonly queued: boolean;
  readonly next: number;
  readonly prev: number;
} {
  const at = (head + 3) * FRAME_WORDS;
  return {
    queued: cpu.frame[at + 4] !== 0,
    next: cpu.frame[at + 5] as number,
    prev: cpu.frame[at + 6] as number,
  };
}

/** The two mms that a large folio remembers with their mappings, and whether it may have more: in the second tail. */
export function mappingOwners(head: number): {
  readonly slots: readonly { readonly id: number; readonly mappings: number }[];
  readonly shared: boolean;
} {
  const at = (head + 2) * FRAME_WORDS;
  const { frame } = cpu;
  return {
    slots: [
      { id: frame[at + 3] as number, mappings: (frame[at + 5] as number) + 1 },
      { id: frame[at + 4] as number, mappings: (frame[at + 6] as number) + 1 },
    ],
    shared: cpu.frame_index[head + 2] !== 0,
  };
}

/** A frame as it is; all but the exclusive flag, index and own PTE mappings from the head of a large folio. */
export function rawPage(pfn: number): RawPage {
  const at = pfn * FRAME_WORDS;
  const head = headOf(pfn);
  const first = head * FRAME_WORDS;
  const own = cpu.frame[at] as number;
  return {
    pfn,
    flags: head === pfn ? own : ((cpu.frame[first] as number) & ~EXCLUSIVE) | (own & EXCLUSIVE),
    refcount: cpu.frame[first + REFCOUNT] as number,
    mapcount: (cpu.frame[at + MAPCOUNT] as number) + 1,
    mapping: cpu.frame[first + 3] as number,
    index: (cpu.frame_index[head] as number) + (pfn - head),
    private: cpu.frame[first + 4] as number,
  };
}

/** The reference count in the frame itself, which for a tail page is not that of its folio. */
export function rawRefcount(pfn: number): number {
  return cpu.frame[pfn * FRAME_WORDS + REFCOUNT] as number;
}

/** Whether the frame is part of a large folio. */
export function isLarge(pfn: number): boolean {
  const at = pfn * FRAME_WORDS;
  return cpu.frame[at + COMPOUND_HEAD] !== 0 || ((cpu.frame[at] as number) & HEAD) !== 0;
}

/** Low bits of `mapping`: 1 anonymous, 3 KSM, 0 file. */
export function isAnon(page: RawPage): boolean {
  return (page.mapping & 3) === 1;
}

export function isKsm(page: RawPage): boolean {
  return (page.mapping & 3) === 3;
}

export function isFile(page: RawPage): boolean {
  return page.mapping !== 0 && (page.mapping & 3) === 0;
}

/** The object that `mapping` points to. */
export function mappingObject(page: RawPage): unknown {
  return cpu.handles[page.mapping >>> 2];
}

export function inSwapCache(page: RawPage): boolean {
  return (page.flags & (SWAPCACHE | SWAPBACKED)) === (SWAPCACHE | SWAPBACKED);
}
