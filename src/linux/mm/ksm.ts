/**
 * mm/ksm.c, include/linux/ksm.h v6.18: which address spaces ksmd scans, and which new mappings.
 *
 * Lock tree: mmap_lock, ksm_mmlist_lock. Fidelity: dup; a fork whose slot cannot be allocated goes on without KSM, as
 * in Linux.
 */
import type { K } from '../../sim/wait.ts';
import { ENOMEM } from '../errno.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { mmdrop, mmgrab } from '../kernel/mm_count.ts';
import { list_add_tail, list_del, list_entries, list_move } from '../lib/list.ts';
import type { mm_struct } from '../mm_types.ts';
import { trace_ksm_enter, trace_ksm_exit } from './events.ts';
import { should_failslab } from './failslab.ts';
import { ksmGlobals } from './ksm_globals.ts';
import { KSM_RUN_UNMERGE, type ksm_mm_slot, ksm_mm_slot_cachep } from './ksm_types.ts';
import {
  MMF_VM_MERGE_ANY,
  MMF_VM_MERGEABLE,
  mm_flags_clear,
  mm_flags_set,
  mm_flags_test,
  VM_DROPPABLE,
  VM_HUGETLB,
  VM_MAYSHARE,
  VM_MERGEABLE,
  VM_SHARED,
  VM_SPECIAL,
} from './mm.ts';
import { mmap_write_lock, mmap_write_unlock } from './mmap_lock.ts';

const slotOfNode = ksm_mm_slot_cachep.container('mm_node');

// ---- which address spaces are scanned

/** mm_slot_lookup(): Linux has a hash of exactly the slots on the list. Preconditions: ksm_mmlist_lock. */
function mm_slot_lookup(mm: mm_struct): ksm_mm_slot | null {
  const head = ksmGlobals().ksm_mm_head as ksm_mm_slot;
  for (const node of list_entries(head.mm_node)) {
    const slot = slotOfNode(node);
    if (slot.mm === mm) {
      return slot;
    }
  }
  return null;
}

/**
 * mm/ksm.c: __ksm_enter() v6.18: puts an mm on the list, just behind the cursor, so that it is scanned last: a fork
 * followed by execve() then costs ksmd nothing. 0 or -ENOMEM.
 */
export function* __ksm_enter(mm: mm_struct): K<number> {
  const ksm = ksmGlobals();
  if (should_failslab()) {
    return -ENOMEM;
  }
  const mm_slot = ksm_mm_slot_cachep.alloc();
  yield* spin_lock(ksm.ksm_mmlist_lock);
  mm_slot.mm = mm;
  // While everything is being un-merged the cursor is the un-merger's, who is to come by this one, too.
  const unmerge = (ksm.ksm_run & KSM_RUN_UNMERGE) !== 0;
  const before = (unmerge ? ksm.ksm_mm_head : ksm.scan_mm_slot) as ksm_mm_slot;
  list_add_tail(mm_slot.mm_node, before.mm_node);
  spin_unlock(ksm.ksm_mmlist_lock);
  mm_flags_set(MMF_VM_MERGEABLE, mm);
  mmgrab(mm);
  trace_ksm_enter({ mm });
  return 0;
}

/**
 * mm/ksm.c: __ksm_exit() v6.18: the last user of the mm has gone. A slot without items goes at once; else ksmd frees it,
 * and taking mmap_lock waits until ksmd is out of the page tables. ksmd may have freed it already.
 */
function* __ksm_exit(mm: mm_struct): K {
  const ksm = ksmGlobals();
  let easy_to_free = false;
  yield* spin_lock(ksm.ksm_mmlist_lock);
  const mm_slot = mm_slot_lookup(mm);
  if (mm_slot !== null && ksm.scan_mm_slot !== mm_slot) {
    if (mm_slot.rmap_list === null) {
      list_del(mm_slot.mm_node);
      easy_to_free = true;
    } else {
      const cursor = ksm.scan_mm_slot as ksm_mm_slot;
      list_move(mm_slot.mm_node, cursor.mm_node);
    }
  }
  spin_unlock(ksm.ksm_mmlist_lock);
  if (easy_to_free && mm_slot !== null) {
    ksm_mm_slot_cachep.free(mm_slot);
    mm_flags_clear(MMF_VM_MERGE_ANY, mm);
    mm_flags_clear(MMF_VM_MERGEABLE, mm);
    yield* mmdrop(mm);
  } else if (mm_slot !== null) {
    yield* mmap_write_lock(mm);
    mmap_write_unlock(mm);
  }
  trace_ksm_exit({ mm });
}

/** include/linux/ksm.h: ksm_fork() v6.18. Best effort. */
export function* ksm_fork(mm: mm_struct, oldmm: mm_struct): K {
  if (mm_flags_test(MMF_VM_MERGEABLE, oldmm)) {
    mm.ksm_merging_pages = 0;
    mm.ksm_rmap_items = 0;
    const ksm = ksmGlobals();
    ksm.ksm_zero_pages = ksm.ksm_zero_pages + mm.ksm_zero_pages;
    yield* __ksm_enter(mm);
  }
}

/** include/linux/ksm.h: ksm_execve() v6.18: MMF_VM_MERGE_ANY outlives execve(). 0 or -ENOMEM. */
export function* ksm_execve(mm: mm_struct): K<number> {
  return mm_flags_test(MMF_VM_MERGE_ANY, mm) ? yield* __ksm_enter(mm) : 0;
}

/** include/linux/ksm.h: ksm_exit() v6.18. */
export function* ksm_exit(mm: mm_struct): K {
  if (mm_flags_test(MMF_VM_MERGEABLE, mm)) {
    yield* __ksm_exit(mm);
  }
}

// ---- which VMAs are scanned

/** mm/ksm.c: ksm_compatible() v6.18. */
export function ksm_compatible(vm_flags: number): boolean {
  return (vm_flags & (VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_HUGETLB | VM_DROPPABLE)) === 0;
}

/** mm/ksm.c: __ksm_should_add_vma() v6.18. */
export function __ksm_should_add_vma(vm_flags: number): boolean {
  return (vm_flags & VM_MERGEABLE) === 0 && ksm_compatible(vm_flags);
}

/** mm/ksm.c: ksm_vma_flags() v6.18: after prctl(PR_SET_MEMORY_MERGE) each new mapping that can be is scanned. */
export function* ksm_vma_flags(mm: mm_struct, vm_flags: number): K<number> {
  if (!mm_flags_test(MMF_VM_MERGE_ANY, mm) || !__ksm_should_add_vma(vm_flags)) {
    return vm_flags;
  }
  // ksmd takes an mm off its list when it finds nothing mergeable in it.
  if (!mm_flags_test(MMF_VM_MERGEABLE, mm)) {
    yield* __ksm_enter(mm);
  }
  return vm_flags | VM_MERGEABLE;
}
