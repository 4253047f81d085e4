/**
 * include/linux/pgtable.h, swapops.h, arch/x86/include/asm/pgtable*.h, mm/pgtable-generic.c,
 * mm/memory.c (__pte_alloc and friends), v6.18, 4 levels: page-table entries and the walk.
 *
 * Lock tree: mm->page_table_lock (PGD, PUD and P4D entries) and the ptl of a PMD or PTE table are taken
 * here; the PMD lock nests outside nothing but, in mremap and fork, a second lock of the same class.
 *
 * An entry is 32 bits of the page-table pool (sim/table.ts). Present, or PROT_NONE with its frame kept:
 * pfn << 8 | bits. A lower table: table number << 8 | _PAGE_TABLE. Anything else, non-zero and with
 * PRESENT and PROTNONE clear, is a swap, migration or marker entry:
 *
 *   bits 1-2  1 swap, 2 migration, 3 marker          bits 8-31  swap offset, pfn, or marker bits
 *   swap      bit 3 exclusive, bits 5-6 swap type    migration  bits 5-6 kind, bit 3 young, bit 7 dirty
 *
 * A migration entry of a huge page, in a PMD, has bit 6 of that in bit 1: there bit 6 would mean a huge mapping.
 *
 * A "pointer to an entry" is its word index in the pool (0 = NULL); values are unsigned.
 * Fidelity: custom (encoding, NX and protection keys left out), dup (what each function decides).
 */
import { cpu, read_pte, write_pte } from '../../sim/cpu.ts';
import type { spinlock_t } from '../../sim/struct.ts';
import { allocTable, freeTable, PTRS_PER_TABLE } from '../../sim/table.ts';
import type { K } from '../../sim/wait.ts';
import { ENOMEM } from '../errno.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { rcu_read_lock, rcu_read_unlock } from '../kernel/rcu.ts';
import { mem_map, type mm_struct, type page, type vm_area_struct } from '../mm_types.ts';
import { trace_pte_clear, trace_pte_set } from './events.ts';
import { should_failslab } from './failslab.ts';
import { PAGE_SIZE, PMD_SIZE, PUD_SIZE } from './mm.ts';
import { NODE_DATA } from './node.ts';
import { type ptdesc, ptdesc_cachep } from './pgtable_types.ts';
import { swp_entry, type swp_entry_t, swp_offset, swp_type } from './swap_entry.ts';

export const PTRS_PER_PTE = 512;
export const PGDIR_SIZE = 0x80_0000_0000;
export const HPAGE_PMD_NR = 512;

export const _PAGE_PRESENT = 1 << 0;
export const _PAGE_RW = 1 << 1;
export const _PAGE_ACCESSED = 1 << 2;
export const _PAGE_DIRTY = 1 << 3;
/** Set instead of PRESENT by mprotect(PROT_NONE): the entry keeps its frame, an access faults. */
export const _PAGE_PROTNONE = 1 << 4;
/** Not a normal page for vm_normal_page(): the zero page. */
export const _PAGE_SPECIAL = 1 << 5;
/** The entry maps a huge page (PMD level). */
export const _PAGE_PSE = 1 << 6;
/** Soft-dirty or uffd-wp: neither is configured now. */
export const _PAGE_SOFTW = 1 << 7;

const _PAGE_TABLE = _PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED | _PAGE_DIRTY;
const _PAGE_BITS = 0xff;
/** Bits of the old entry that pte_modify() keeps. */
const _PAGE_CHG_MASK = ~_PAGE_BITS | _PAGE_SPECIAL | _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_SOFTW | 0;

/** pte_t, pmd_t, pud_t, pgd_t: an unsigned 32-bit value. */
export type pte_t = number;
/** pte_t *, pmd_t *, ...: word index in the pool, 0 = NULL. */
export type pte_ptr = number;

/** No single swap area, migration target or frame lies beyond this. */
export const MAX_PFN = 0xff_ffff;

// ---- present entries

/** pfn_pte(): `prot` is a combination of _PAGE bits. */
export function pfn_pte(pfn: number, prot: number): pte_t {
  return ((pfn << 8) | (prot & _PAGE_BITS)) >>> 0;
}
export function mk_pte(page: page, prot: number): pte_t {
  return pfn_pte(page.pfn, prot);
}
export const pte_none = (pte: pte_t): boolean => pte === 0;
export const pte_present = (pte: pte_t): boolean => (pte & (_PAGE_PRESENT | _PAGE_PROTNONE)) !== 0;
/** Not accessible although present: PROT_NONE (NUMA hinting does not exist here). */
export const pte_protnone = (pte: pte_t): boolean =>
  (pte & (_PAGE_PRESENT | _PAGE_PROTNONE)) === _PAGE_PROTNONE;
/** pte_accessible(): a TLB may hold it. */
export const pte_accessible = (pte: pte_t): boolean => (pte & _PAGE_PRESENT) !== 0;
export const pte_write = (pte: pte_t): boolean => (pte & _PAGE_RW) !== 0;
export const pte_dirty = (pte: pte_t): boolean => (pte & _PAGE_DIRTY) !== 0;
export const pte_young = (pte: pte_t): boolean => (pte & _PAGE_ACCESSED) !== 0;
export const pte_special = (pte: pte_t): boolean => (pte & _PAGE_SPECIAL) !== 0;
export const pte_pfn = (pte: pte_t): number => pte >>> 8;
/** pte_page(): the page frame of a present entry. */
export const pte_page = (pte: pte_t): page => mem_map.at(pte >>> 8);

export const pte_mkwrite = (pte: pte_t): pte_t => (pte | _PAGE_RW) >>> 0;
export const pte_wrprotect = (pte: pte_t): pte_t => (pte & ~_PAGE_RW) >>> 0;
export const pte_mkdirty = (pte: pte_t): pte_t => (pte | _PAGE_DIRTY) >>> 0;
export const pte_mkclean = (pte: pte_t): pte_t => (pte & ~_PAGE_DIRTY) >>> 0;
export const pte_mkyoung = (pte: pte_t): pte_t => (pte | _PAGE_ACCESSED) >>> 0;
export const pte_mkold = (pte: pte_t): pte_t => (pte & ~_PAGE_ACCESSED) >>> 0;
export const pte_mkspecial = (pte: pte_t): pte_t => (pte | _PAGE_SPECIAL) >>> 0;
/** pte_modify(): a new protection, same frame and history. */
export const pte_modify = (pte: pte_t, newprot: number): pte_t =>
  ((pte & _PAGE_CHG_MASK) | (newprot & _PAGE_BITS & ~_PAGE_CHG_MASK)) >>> 0;
export const pte_same = (a: pte_t, b: pte_t): boolean => a === b;

// ---- entries without a page

const NONPRESENT_KIND = 0x06;
const KIND_SWAP = 0x02;
const KIND_MIGRATION = 0x04;
const KIND_MARKER = 0x06;
const ENTRY_EXCLUSIVE = 0x08;
const ENTRY_YOUNG = 0x08;
const ENTRY_DIRTY = 0x80;
/** Upper bit of the kind of a migration entry, in a PTE and in a PMD. */
const KIND_HIGH = 0x40;
const KIND_HIGH_PMD = 0x02;

/** migration_kind: what the entry was before. */
export const SWP_MIGRATION_READ = 0;
export const SWP_MIGRATION_READ_EXCLUSIVE = 1;
export const SWP_MIGRATION_WRITE = 2;

/** enum pte_marker. */
export const PTE_MARKER_UFFD_WP = 1;
export const PTE_MARKER_POISONED = 2;
export const PTE_MARKER_GUARD = 4;

const kind_of = (pte: pte_t): number => {
  return (pte & (_PAGE_PRESENT | _PAGE_PROTNONE)) !== 0 ? 0 : pte & NONPRESENT_KIND;
};

/** is_swap_pte(): neither none nor present. */
export const is_swap_pte = (pte: pte_t): boolean => pte !== 0 && !pte_present(pte);

/** A real swap entry (non_swap_entry() is the rest). */
export const pte_is_swap_entry = (pte: pte_t): boolean => kind_of(pte) === KIND_SWAP;

/** swp_entry_to_pte(). */
export function swp_entry_to_pte(entry: swp_entry_t): pte_t {
  return ((swp_offset(entry) << 8) | (swp_type(entry) << 5) | KIND_SWAP) >>> 0;
}
/** pte_to_swp_entry() of a real swap entry. */
export function pte_to_swp_entry(pte: pte_t): swp_entry_t {
  return swp_entry((pte >>> 5) & 3, pte >>> 8);
}
/** The swapped-out page belonged to this mm alone. */
export const pte_swp_exclusive = (pte: pte_t): boolean => (pte & ENTRY_EXCLUSIVE) !== 0;
export const pte_swp_mkexclusive = (pte: pte_t): pte_t => (pte | ENTRY_EXCLUSIVE) >>> 0;
export const pte_swp_clear_exclusive = (pte: pte_t): pte_t => (pte & ~ENTRY_EXCLUSIVE) >>> 0;

export const is_migration_entry = (pte: pte_t): boolean => kind_of(pte) === KIND_MIGRATION;
export const migration_kind = (pte: pte_t): number => (pte >>> 5) & 3;
export const is_writable_migration_entry = (pte: pte_t): boolean =>
  is_migration_entry(pte) && migration_kind(pte) === SWP_MIGRATION_WRITE;
export const is_readable_migration_entry = (pte: pte_t): boolean =>
  is_migration_entry(pte) && migration_kind(pte) === SWP_MIGRATION_READ;
export const is_readable_exclusive_migration_entry = (pte: pte_t): boolean =>
  is_migration_entry(pte) && migration_kind(pte) === SWP_MIGRATION_READ_EXCLUSIVE;
export const is_migration_entry_young = (pte: pte_t): boolean => (pte & ENTRY_YOUNG) !== 0;
export const is_migration_entry_dirty = (pte: pte_t): boolean => (pte & ENTRY_DIRTY) !== 0;
/** make_*_migration_entry() and swp_entry_to_pte() in one. */
export function make_migration_pte(
  pfn: number,
  kind: number,
  young: boolean,
  dirty: boolean,
): pte_t {
  let value = (pfn << 8) | (kind << 5) | KIND_MIGRATION;
  if (young) {
    value |= ENTRY_YOUNG;
  }
  if (dirty) {
    value |= ENTRY_DIRTY;
  }
  return value >>> 0;
}
/** The same migration entry with another kind. */
export const migration_pte_with_kind = (pte: pte_t, kind: number): pte_t =>
  ((pte & ~0x60) | (kind << 5)) >>> 0;
/** swp_offset_pfn() of a migration entry. */
export const migration_pfn = (pte: pte_t): number => pte >>> 8;
/** pfn_swap_entry_folio(): the page a migration entry stands for. */
export const migration_page = (pte: pte_t): page => mem_map.at(pte >>> 8);

/** swp_entry_to_pmd() of a migration entry. */
export const swp_entry_to_pmd = (entry: pte_t): number =>
  ((entry & ~KIND_HIGH) | ((entry & KIND_HIGH) !== 0 ? KIND_HIGH_PMD : 0)) >>> 0;
/** pmd_to_swp_entry(): the migration entry as it would be in a PTE of the first page. */
export const pmd_to_swp_entry = (pmd: number): pte_t =>
  ((pmd & ~KIND_HIGH_PMD) | ((pmd & KIND_HIGH_PMD) !== 0 ? KIND_HIGH : 0)) >>> 0;

export const is_pte_marker = (pte: pte_t): boolean => kind_of(pte) === KIND_MARKER;
export const pte_marker_get = (pte: pte_t): number => pte >>> 8;
export const make_pte_marker = (marker: number): pte_t => ((marker << 8) | KIND_MARKER) >>> 0;
export const is_guard_swp_entry = (pte: pte_t): boolean =>
  is_pte_marker(pte) && (pte_marker_get(pte) & PTE_MARKER_GUARD) !== 0;
export const is_poisoned_swp_entry = (pte: pte_t): boolean =>
  is_pte_marker(pte) && (pte_marker_get(pte) & PTE_MARKER_POISONED) !== 0;

// ---- addresses

export const pgd_index = (addr: number): number => Math.floor(addr / PGDIR_SIZE) % 512;
export const pud_index = (addr: number): number => Math.floor(addr / PUD_SIZE) % 512;
export const pmd_index = (addr: number): number => Math.floor(addr / PMD_SIZE) % 512;
export const pte_index = (addr: number): number => Math.floor(addr / PAGE_SIZE) % 512;

const boundary = (addr: number, end: number, size: number): number => {
  const next = addr - (addr % size) + size;
  return next < end ? next : end;
};
/** pgd_addr_end() and friends: start of the next extent of one entry, or `end`. */
export const pgd_addr_end = (addr: number, end: number): number => boundary(addr, end, PGDIR_SIZE);
export const pud_addr_end = (addr: number, end: number): number => boundary(addr, end, PUD_SIZE);
export const pmd_addr_end = (addr: number, end: number): number => boundary(addr, end, PMD_SIZE);

// ---- tables

const entry_table = (entry: number): number => entry >>> 8;
const make_table_entry = (table: number): number => ((table << 8) | _PAGE_TABLE) >>> 0;
/** Number of the table that an entry lies in. */
export const table_of = (ptr: pte_ptr): number => Math.floor(ptr / PTRS_PER_TABLE);

/** pgdp_get(), pmdp_get(), ptep_get(): one read of the entry. */
export const ptep_get = (ptr: pte_ptr): pte_t => cpu.pte[ptr] as number;
export const pmdp_get = ptep_get;
export const pudp_get = ptep_get;
export const pgdp_get = ptep_get;

export const pmd_none = (pmd: number): boolean => pmd === 0;
export const pmd_present = (pmd: number): boolean =>
  (pmd & (_PAGE_PRESENT | _PAGE_PROTNONE | _PAGE_PSE)) !== 0;
export const pmd_trans_huge = (pmd: number): boolean => (pmd & _PAGE_PSE) !== 0;
/** is_swap_pmd(): neither none nor present: a migration entry of a huge page, see mm/pmd_migration.ts. */
export const is_swap_pmd = (pmd: number): boolean => !pmd_none(pmd) && !pmd_present(pmd);
/** What stands for a huge page: its mapping or its migration entry. */
export const pmd_is_huge = (pmd: number): boolean => pmd_trans_huge(pmd) || is_swap_pmd(pmd);
export const pud_none = pmd_none;
export const pgd_none = pmd_none;

export const pgd_offset = (mm: mm_struct, addr: number): pte_ptr =>
  mm.pgd * PTRS_PER_TABLE + pgd_index(addr);
/** The PUD entry of `addr` below a present PGD entry (the P4D level is folded into the PGD). */
export const pud_offset = (pgd: pte_ptr, addr: number): pte_ptr =>
  entry_table(cpu.pte[pgd] as number) * PTRS_PER_TABLE + pud_index(addr);
export const pmd_offset = (pud: pte_ptr, addr: number): pte_ptr =>
  entry_table(cpu.pte[pud] as number) * PTRS_PER_TABLE + pmd_index(addr);
/** pte_offset_kernel(): the PTE of `addr` below a PMD entry that is known to be a table. */
export const pte_offset = (pmd: pte_ptr, addr: number): pte_ptr =>
  entry_table(cpu.pte[pmd] as number) * PTRS_PER_TABLE + pte_index(addr);

/** mm_find_pmd() (mm/rmap.c): the PMD entry of `address`, 0 when a level above is missing. */
export function mm_find_pmd(mm: mm_struct, address: number): pte_ptr {
  const pgd = pgd_offset(mm, address);
  if (pgd_none(pgdp_get(pgd))) {
    return 0;
  }
  const pud = pud_offset(pgd, address);
  if (pud_none(pudp_get(pud))) {
    return 0;
  }
  return pmd_offset(pud, address);
}

/**
 * The PTE word of `address`, or 0: for views, judges and the simulated processor, without locks. A huge
 * PMD gives 0, as does its migration entry.
 */
export function lookupPte(mm: mm_struct, address: number): pte_ptr {
  const pmd = mm_find_pmd(mm, address);
  if (pmd === 0 || !pmd_present(pmdp_get(pmd)) || pmd_trans_huge(pmdp_get(pmd))) {
    return 0;
  }
  return pte_offset(pmd, address);
}

/** The PMD word of `address` if it maps a huge page, or 0: without locks, as lookupPte(). */
export function lookupHugePmd(mm: mm_struct, address: number): pte_ptr {
  const pmd = mm_find_pmd(mm, address);
  return pmd !== 0 && pmd_trans_huge(pmdp_get(pmd)) ? pmd : 0;
}

/** The ptdesc of a table: two levels of directory in the pool hold its granule. */
export function page_ptdesc(table: number): ptdesc {
  const directory = NODE_DATA().ptdesc_directory;
  const leaf = read_pte(directory * PTRS_PER_TABLE + Math.floor(table / PTRS_PER_TABLE));
  return cpu.handles[read_pte(leaf * PTRS_PER_TABLE + (table % PTRS_PER_TABLE))] as ptdesc;
}

/** pagetable_alloc() and its constructor: an empty table with its lock. */
function pagetable_alloc(mm: mm_struct, level: number): ptdesc {
  const node = NODE_DATA();
  if (node.ptdesc_directory === 0) {
    node.ptdesc_directory = allocTable();
  }
  const table = allocTable();
  const slot = node.ptdesc_directory * PTRS_PER_TABLE + Math.floor(table / PTRS_PER_TABLE);
  if (read_pte(slot) === 0) {
    write_pte(slot, allocTable());
  }
  const pt = ptdesc_cachep.alloc();
  pt.table = table;
  pt.level = level;
  pt.pt_mm = mm;
  write_pte(read_pte(slot) * PTRS_PER_TABLE + (table % PTRS_PER_TABLE), pt.addr >>> 4);
  return pt;
}

/** pte_alloc_one(): a PTE table for pmd_populate() or for a deposit. */
export const pagetable_alloc_pte = (mm: mm_struct): ptdesc => pagetable_alloc(mm, 1);
/** The PMD entry that points to the table. */
export const table_entry = (pt: ptdesc): number => make_table_entry(pt.table);

/** pagetable_free(). */
export function pagetable_free(pt: ptdesc): void {
  freeTable(pt.table);
  ptdesc_cachep.free(pt);
}

/** pgd_alloc(), mm_alloc_pgd(): the top-level table of a new mm. */
export function mm_alloc_pgd(mm: mm_struct): void {
  mm.pgd = allocTable();
}

/** mm_free_pgd(). */
export function mm_free_pgd(mm: mm_struct): void {
  freeTable(mm.pgd);
  mm.pgd = 0;
}

/** The ptl of the table that holds the entry `ptr`: of a PTE for unlocking, of a PMD entry for pmd_lock(). */
export const ptlock_ptr = (ptr: pte_ptr): spinlock_t => page_ptdesc(table_of(ptr)).ptl;

/** pmd_lock(): the lock of the table that holds the PMD entry. */
export function* pmd_lock(pmd: pte_ptr): K<spinlock_t> {
  const ptl = ptlock_ptr(pmd);
  yield* spin_lock(ptl);
  return ptl;
}

/**
 * mm/pgtable-generic.c: ___pte_offset_map() v6.18. 0 when there is no PTE table below `pmd`: it may
 * have been freed, or replaced by a huge page, since the caller looked.
 */
export function pte_offset_map(pmd: pte_ptr, addr: number): pte_ptr {
  const pmdval = pmdp_get(pmd);
  if (pmd_none(pmdval) || pmd_trans_huge(pmdval) || !pmd_present(pmdval)) {
    return 0;
  }
  return entry_table(pmdval) * PTRS_PER_TABLE + pte_index(addr);
}

/**
 * pte_offset_map() of somebody who has no lock yet that keeps the table: an RCU read section does, until
 * pteTableIsStill() or pte_unmap(). Linux is in one up to pte_unmap(), also under the ptl, where it adds nothing.
 */
export function pteOffsetMapRcu(pmd: pte_ptr, addr: number): pte_ptr {
  rcu_read_lock();
  const pte = pte_offset_map(pmd, addr);
  if (pte === 0) {
    rcu_read_unlock();
  }
  return pte;
}

/** pte_unmap(): ends the read section; the pointer is worth nothing any more: 0. */
export function pte_unmap(): pte_ptr {
  rcu_read_unlock();
  return 0;
}

/** Ends the read section. Whether the table is still the one of the entry: then its lock keeps it. Atomic. */
export function pteTableIsStill(pmd: pte_ptr, pmdval: number): boolean {
  rcu_read_unlock();
  return pmdp_get(pmd) === pmdval;
}

/**
 * mm/pgtable-generic.c: pte_offset_map_lock() v6.18: the PTE with its table locked, or 0. The table can
 * go between the look at the PMD and the lock, hence the second look.
 */
export function* pte_offset_map_lock(_mm: mm_struct, pmd: pte_ptr, addr: number): K<pte_ptr> {
  for (;;) {
    const pmdval = pmdp_get(pmd);
    const pte = pteOffsetMapRcu(pmd, addr);
    if (pte === 0) {
      return 0;
    }
    const ptl = ptlock_ptr(pte);
    yield* spin_lock(ptl);
    if (pteTableIsStill(pmd, pmdval)) {
      return pte;
    }
    spin_unlock(ptl);
  }
}

/** pte_unmap_unlock(). */
export function pte_unmap_unlock(pte: pte_ptr): void {
  spin_unlock(ptlock_ptr(pte));
}

/** mm/memory.c: __pte_alloc() v6.18. 0 or -ENOMEM. */
export function* __pte_alloc(mm: mm_struct, pmd: pte_ptr): K<number> {
  if (should_failslab()) {
    return -ENOMEM;
  }
  const pt = pagetable_alloc(mm, 1);
  const ptl = yield* pmd_lock(pmd);
  if (pmd_none(pmdp_get(pmd))) {
    mm.pgtables_bytes = mm.pgtables_bytes + PAGE_SIZE;
    write_pte(pmd, make_table_entry(pt.table));
    spin_unlock(ptl);
    return 0;
  }
  // Another fault of this mm was faster; its table serves us too.
  spin_unlock(ptl);
  pagetable_free(pt);
  return 0;
}

/** pte_alloc(): true on failure, as the kernel's macro. */
export function* pte_alloc(mm: mm_struct, pmd: pte_ptr): K<boolean> {
  return pmd_none(pmdp_get(pmd)) && (yield* __pte_alloc(mm, pmd)) === -ENOMEM;
}

/** pte_alloc_map_lock(): the PTE with its table made if need be and locked; 0 on failure. */
export function* pte_alloc_map_lock(mm: mm_struct, pmd: pte_ptr, addr: number): K<pte_ptr> {
  if (yield* pte_alloc(mm, pmd)) {
    return 0;
  }
  return yield* pte_offset_map_lock(mm, pmd, addr);
}

/** mm/memory.c: __pmd_alloc() v6.18: fills a PUD entry. */
export function* __pmd_alloc(mm: mm_struct, pud: pte_ptr): K<number> {
  if (should_failslab()) {
    return -ENOMEM;
  }
  const pt = pagetable_alloc(mm, 2);
  // pud_lock() is mm->page_table_lock.
  yield* spin_lock(mm.page_table_lock);
  if (pud_none(pudp_get(pud))) {
    mm.pgtables_bytes = mm.pgtables_bytes + PAGE_SIZE;
    write_pte(pud, make_table_entry(pt.table));
    spin_unlock(mm.page_table_lock);
    return 0;
  }
  spin_unlock(mm.page_table_lock);
  pagetable_free(pt);
  return 0;
}

/** mm/memory.c: __pud_alloc() v6.18: fills a PGD entry. */
export function* __pud_alloc(mm: mm_struct, pgd: pte_ptr): K<number> {
  if (should_failslab()) {
    return -ENOMEM;
  }
  const pt = pagetable_alloc(mm, 3);
  yield* spin_lock(mm.page_table_lock);
  if (pgd_none(pgdp_get(pgd))) {
    mm.pgtables_bytes = mm.pgtables_bytes + PAGE_SIZE;
    write_pte(pgd, make_table_entry(pt.table));
    spin_unlock(mm.page_table_lock);
    return 0;
  }
  spin_unlock(mm.page_table_lock);
  pagetable_free(pt);
  return 0;
}

/** pud_alloc(), after p4d_alloc() that cannot fail on 4 levels. 0 on failure. */
export function* pud_alloc(mm: mm_struct, pgd: pte_ptr, address: number): K<pte_ptr> {
  if (pgd_none(pgdp_get(pgd)) && (yield* __pud_alloc(mm, pgd)) !== 0) {
    return 0;
  }
  return pud_offset(pgd, address);
}

/** pmd_alloc(). 0 on failure. */
export function* pmd_alloc(mm: mm_struct, pud: pte_ptr, address: number): K<pte_ptr> {
  if (pud_none(pudp_get(pud)) && (yield* __pmd_alloc(mm, pud)) !== 0) {
    return 0;
  }
  return pmd_offset(pud, address);
}

// ---- changing entries; the caller holds the ptl of the table

/** set_pte_at(). */
export function set_pte_at(mm: mm_struct, address: number, ptr: pte_ptr, pte: pte_t): void {
  const old = ptep_get(ptr);
  write_pte(ptr, pte);
  trace_pte_set({ mm, address, pte, old });
}

/** pte_clear(), pte_clear_not_present_full(). */
export function pte_clear(mm: mm_struct, address: number, ptr: pte_ptr): void {
  const old = ptep_get(ptr);
  write_pte(ptr, 0);
  trace_pte_clear({ mm, address, old });
}

/** ptep_get_and_clear(). */
export function ptep_get_and_clear(mm: mm_struct, address: number, ptr: pte_ptr): pte_t {
  const old = ptep_get(ptr);
  pte_clear(mm, address, ptr);
  return old;
}

/** ptep_clear_flush(): there is no TLB, so that clearing is all. */
export function ptep_clear_flush(vma: vm_area_struct, address: number, ptr: pte_ptr): pte_t {
  return ptep_get_and_clear(vma.vm_mm as mm_struct, address, ptr);
}

/** ptep_set_wrprotect(). */
export function ptep_set_wrprotect(mm: mm_struct, address: number, ptr: pte_ptr): void {
  set_pte_at(mm, address, ptr, pte_wrprotect(ptep_get(ptr)));
}

/** ptep_set_access_flags(): true when the entry changed. */
export function ptep_set_access_flags(
  vma: vm_area_struct,
  address: number,
  ptr: pte_ptr,
  entry: pte_t,
  dirty: boolean,
): boolean {
  const changed = !pte_same(ptep_get(ptr), entry);
  if (changed && dirty) {
    set_pte_at(vma.vm_mm as mm_struct, address, ptr, entry);
  }
  return changed;
}

/** ptep_test_and_clear_young(). */
export function ptep_test_and_clear_young(
  vma: vm_area_struct,
  address: number,
  ptr: pte_ptr,
): boolean {
  const pte = ptep_get(ptr);
  if (!pte_young(pte)) {
    return false;
  }
  set_pte_at(vma.vm_mm as mm_struct, address, ptr, pte_mkold(pte));
  return true;
}

/** pmd_clear(), pud_clear(), pgd_clear(): an upper entry, its table gone to the caller. */
export function clear_table_entry(ptr: pte_ptr): ptdesc {
  const pt = page_ptdesc(entry_table(read_pte(ptr)));
  write_pte(ptr, 0);
  return pt;
}

/** pmd_populate() of a table that already exists (mremap moves whole tables). */
export function set_pmd_at(ptr: pte_ptr, value: number): void {
  write_pte(ptr, value);
}
