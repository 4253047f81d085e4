/**
 * mm/khugepaged.c, include/linux/khugepaged.h v6.18: which address spaces khugepaged scans, and which of their VMAs.
 *
 * Lock tree: mmap_lock, khugepaged_mm_lock. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { mmdrop, mmgrab } from '../kernel/mm_count.ts';
import { VM_BUG_ON } from '../lib/bug.ts';
import { INIT_LIST_HEAD, list_add_tail, list_del, list_entries } from '../lib/list.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { hasRoot, ROOT_KHUGEPAGED, rootAt, setRoot } from '../roots.ts';
import { should_failslab } from './failslab.ts';
import {
  type khugepaged_globals,
  khugepaged_globals_cachep,
  type khugepaged_mm_slot,
  khugepaged_mm_slot_cachep,
} from './khugepaged_types.ts';
import {
  MMF_VM_HUGEPAGE,
  mm_flags_clear,
  mm_flags_set,
  mm_flags_test,
  PMD_SIZE,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_NOHUGEPAGE,
  VM_SPECIAL,
  vma_is_anonymous,
  vma_is_temporary_stack,
} from './mm.ts';
import { mmap_write_lock, mmap_write_unlock } from './mmap_lock.ts';
import { thp_vma_suitable_order } from './pgtable_huge.ts';

/** The variables of mm/khugepaged.c; made at the first use, as most machines have no huge pages. */
export function khugepagedGlobals(): khugepaged_globals {
  if (!hasRoot(ROOT_KHUGEPAGED)) {
    const made = khugepaged_globals_cachep.alloc();
    const head = khugepaged_mm_slot_cachep.alloc();
    INIT_LIST_HEAD(head.mm_node);
    made.scan_mm_head = head;
    setRoot(ROOT_KHUGEPAGED, made);
  }
  return rootAt(ROOT_KHUGEPAGED) as khugepaged_globals;
}

// ---- which VMAs

/** struct collapse_control: khugepaged collapses what is used and mostly there, madvise(MADV_COLLAPSE) everything. */
export interface collapse_control {
  readonly is_khugepaged: boolean;
}

/** What khugepaged goes by. */
export const KHUGEPAGED: collapse_control = { is_khugepaged: true };

/**
 * mm/huge_memory.c: thp_vma_allowable_orders() v6.18 for TVA_FORCED_COLLAPSE and TVA_KHUGEPAGED, order 9: no file is
 * eligible, and `enabled` is madvise.
 */
export function collapse_allowed(
  vma: vm_area_struct,
  vm_flags: number,
  cc: collapse_control,
): boolean {
  return (
    vma_is_anonymous(vma) &&
    (!cc.is_khugepaged || (vm_flags & VM_HUGEPAGE) !== 0) &&
    (vm_flags & (VM_NOHUGEPAGE | VM_SPECIAL | VM_HUGETLB)) === 0 &&
    // Whether any aligned block fits, judged by the last one.
    thp_vma_suitable_order(vma, vma.vm_end - PMD_SIZE) &&
    !vma_is_temporary_stack(vma) &&
    vma.anon_vma !== null
  );
}

// ---- which address spaces

const slotOfNode = khugepaged_mm_slot_cachep.container('mm_node');

/** hpage_collapse_test_exit(): khugepaged must not touch the page tables of an mm whose last user has gone. */
export const hpage_collapse_test_exit = (mm: mm_struct): boolean => mm.mm_users === 0;

/** mm_slot_lookup(): Linux has a hash of exactly the slots on the list. Preconditions: khugepaged_mm_lock. */
function mm_slot_lookup(globals: khugepaged_globals, mm: mm_struct): khugepaged_mm_slot | null {
  const head = globals.scan_mm_head as khugepaged_mm_slot;
  for (const node of list_entries(head.mm_node)) {
    const slot = slotOfNode(node);
    if (slot.mm === mm) {
      return slot;
    }
  }
  return null;
}

/** mm/khugepaged.c: __khugepaged_enter() v6.18: puts an mm at the end of the list. Best effort. */
function* __khugepaged_enter(mm: mm_struct): K {
  VM_BUG_ON(hpage_collapse_test_exit(mm), 'hpage_collapse_test_exit(mm)');
  if (mm_flags_test(MMF_VM_HUGEPAGE, mm)) {
    return;
  }
  mm_flags_set(MMF_VM_HUGEPAGE, mm);
  if (should_failslab()) {
    return;
  }
  const globals = khugepagedGlobals();
  const slot = khugepaged_mm_slot_cachep.alloc();
  yield* spin_lock(globals.khugepaged_mm_lock);
  slot.mm = mm;
  const head = globals.scan_mm_head as khugepaged_mm_slot;
  list_add_tail(slot.mm_node, head.mm_node);
  spin_unlock(globals.khugepaged_mm_lock);
  mmgrab(mm);
}

/** mm/khugepaged.c: khugepaged_enter_vma() v6.18: a VMA came or got flags that khugepaged looks at. */
export function* khugepaged_enter_vma(vma: vm_area_struct, vm_flags: number): K {
  const mm = vma.vm_mm as mm_struct;
  if (!mm_flags_test(MMF_VM_HUGEPAGE, mm) && collapse_allowed(vma, vm_flags, KHUGEPAGED)) {
    yield* __khugepaged_enter(mm);
  }
}

/** include/linux/khugepaged.h: khugepaged_fork() v6.18. */
export function* khugepaged_fork(mm: mm_struct, oldmm: mm_struct): K {
  if (mm_flags_test(MMF_VM_HUGEPAGE, oldmm)) {
    yield* __khugepaged_enter(mm);
  }
}

/**
 * mm/khugepaged.c: __khugepaged_exit() v6.18: the last user of the mm has gone. Its slot goes, unless khugepaged is at
 * it: then taking mmap_lock waits until khugepaged is out of the page tables, and khugepaged frees the slot.
 */
function* __khugepaged_exit(mm: mm_struct): K {
  const globals = khugepagedGlobals();
  let free = false;
  yield* spin_lock(globals.khugepaged_mm_lock);
  const slot = mm_slot_lookup(globals, mm);
  if (slot !== null && globals.scan_mm_slot !== slot) {
    list_del(slot.mm_node);
    free = true;
  }
  spin_unlock(globals.khugepaged_mm_lock);
  if (free && slot !== null) {
    mm_flags_clear(MMF_VM_HUGEPAGE, mm);
    khugepaged_mm_slot_cachep.free(slot);
    yield* mmdrop(mm);
  } else if (slot !== null) {
    yield* mmap_write_lock(mm);
    mmap_write_unlock(mm);
  }
}

/** include/linux/khugepaged.h: khugepaged_exit() v6.18. */
export function* khugepaged_exit(mm: mm_struct): K {
  if (mm_flags_test(MMF_VM_HUGEPAGE, mm)) {
    yield* __khugepaged_exit(mm);
  }
}
