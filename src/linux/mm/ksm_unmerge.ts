/**
 * mm/ksm.c v6.18: taking KSM pages apart: MADV_UNMERGEABLE, prctl(), mremap() and merges that failed half way.
 *
 * Lock tree: mmap_lock; the faults take the rest. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { EINTR, ENOMEM } from '../errno.ts';
import { current } from '../kernel/current.ts';
import type { anon_vma, mm_struct, vm_area_struct } from '../mm_types.ts';
import { __ksm_enter, __ksm_should_add_vma, ksm_compatible } from './ksm.ts';
import { is_ksm_zero_pte, ksm_test_exit } from './ksm_globals.ts';
import type { ksm_rmap_item } from './ksm_types.ts';
import { handle_mm_fault } from './memory_fault.ts';
import {
  MADV_MERGEABLE,
  MADV_UNMERGEABLE,
  MMF_VM_MERGE_ANY,
  MMF_VM_MERGEABLE,
  mm_flags_clear,
  mm_flags_set,
  mm_flags_test,
  PAGE_SIZE,
  VM_MERGEABLE,
} from './mm.ts';
import {
  mmap_assert_write_locked,
  mmap_read_lock,
  mmap_read_unlock,
  vma_start_write,
} from './mmap_lock.ts';
import { folio_test_ksm, folio_test_large } from './page-flags.ts';
import { FW_MIGRATION, FW_ZEROPAGE, folio_walk_end, folio_walk_start } from './pagewalk.ts';
import { put_anon_vma } from './rmap/anon_vma_life.ts';
import {
  FAULT_FLAG_REMOTE,
  FAULT_FLAG_UNSHARE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
} from './vm_fault.ts';
import { vma_lookup, vmaTreeFirst, vmaTreeNext } from './vma_tree.ts';

/**
 * mm/ksm.c: break_ksm() v6.18: unshares the page at `addr` until it is no KSM page any more: a fault may back out
 * because something else changed the entry. 0 or -ENOMEM. Preconditions: mmap_lock; `lock_vma` write-locks.
 */
function* break_ksm(vma: vm_area_struct, addr: number, lock_vma: boolean): K<number> {
  const stop = VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV | VM_FAULT_OOM;
  let ret = 0;
  if (lock_vma) {
    yield* vma_start_write(vma);
  }
  do {
    const fw = yield* folio_walk_start(vma, addr, FW_MIGRATION | FW_ZEROPAGE);
    let ksm_page = false;
    if (fw !== null) {
      ksm_page =
        !folio_test_large(fw.folio) && (folio_test_ksm(fw.folio) || is_ksm_zero_pte(fw.pte));
      folio_walk_end(fw);
    }
    if (!ksm_page) {
      return 0;
    }
    ret = yield* handle_mm_fault(vma, addr, FAULT_FLAG_UNSHARE | FAULT_FLAG_REMOTE);
  } while ((ret & stop) === 0);
  return (ret & VM_FAULT_OOM) !== 0 ? -ENOMEM : 0;
}

/**
 * mm/ksm.c: unmerge_ksm_pages() v6.18: 0 or a negative errno. The items stay on their stable nodes until ksmd comes
 * by: it may be at work on one of them now.
 */
export function* unmerge_ksm_pages(
  vma: vm_area_struct,
  start: number,
  end: number,
  lock_vma: boolean,
): K<number> {
  let err = 0;
  for (let addr = start; addr < end && err === 0; addr += PAGE_SIZE) {
    if (ksm_test_exit(vma.vm_mm as mm_struct)) {
      break;
    }
    // -ERESTARTSYS with a fatal signal: nobody sees the result.
    err = current().sigkill === 1 ? -EINTR : yield* break_ksm(vma, addr, lock_vma);
  }
  return err;
}

/** mm/ksm.c: find_mergeable_vma() v6.18. Preconditions: mmap_lock for read. */
export function find_mergeable_vma(mm: mm_struct, addr: number): vm_area_struct | null {
  if (ksm_test_exit(mm)) {
    return null;
  }
  const vma = vma_lookup(mm, addr);
  if (vma === null || (vma.vm_flags & VM_MERGEABLE) === 0 || vma.anon_vma === null) {
    return null;
  }
  return vma;
}

/** mm/ksm.c: break_cow() v6.18: undoes a merge that has no stable node. */
export function* break_cow(rmap_item: ksm_rmap_item): K {
  const mm = rmap_item.mm as mm_struct;
  yield* put_anon_vma(rmap_item.anon_vma as anon_vma);
  yield* mmap_read_lock(mm);
  const vma = find_mergeable_vma(mm, rmap_item.address);
  if (vma !== null) {
    yield* break_ksm(vma, rmap_item.address, false);
  }
  mmap_read_unlock(mm);
}

/** mm/ksm.c: ksm_add_vmas() v6.18. */
function* ksm_add_vmas(mm: mm_struct): K {
  let vma = vmaTreeFirst(mm);
  while (vma !== null) {
    if (__ksm_should_add_vma(vma.vm_flags)) {
      yield* vma_start_write(vma);
      vma.vm_flags = vma.vm_flags | VM_MERGEABLE;
    }
    vma = vmaTreeNext(vma);
  }
}

/** mm/ksm.c: __ksm_del_vma() v6.18. 0 or a negative errno. */
function* __ksm_del_vma(vma: vm_area_struct): K<number> {
  if ((vma.vm_flags & VM_MERGEABLE) === 0) {
    return 0;
  }
  if (vma.anon_vma !== null) {
    const err = yield* unmerge_ksm_pages(vma, vma.vm_start, vma.vm_end, true);
    if (err !== 0) {
      return err;
    }
  }
  yield* vma_start_write(vma);
  vma.vm_flags = vma.vm_flags & ~VM_MERGEABLE;
  return 0;
}

/** mm/ksm.c: ksm_del_vmas() v6.18. 0 or a negative errno. */
function* ksm_del_vmas(mm: mm_struct): K<number> {
  let vma = vmaTreeFirst(mm);
  while (vma !== null) {
    const err = yield* __ksm_del_vma(vma);
    if (err !== 0) {
      return err;
    }
    vma = vmaTreeNext(vma);
  }
  return 0;
}

/** mm/ksm.c: ksm_enable_merge_any() v6.18. 0 or -ENOMEM. Preconditions: mmap_lock for write. */
export function* ksm_enable_merge_any(mm: mm_struct): K<number> {
  mmap_assert_write_locked(mm);
  if (mm_flags_test(MMF_VM_MERGE_ANY, mm)) {
    return 0;
  }
  if (!mm_flags_test(MMF_VM_MERGEABLE, mm)) {
    const err = yield* __ksm_enter(mm);
    if (err !== 0) {
      return err;
    }
  }
  mm_flags_set(MMF_VM_MERGE_ANY, mm);
  yield* ksm_add_vmas(mm);
  return 0;
}

/** mm/ksm.c: ksm_disable_merge_any() v6.18. 0 or a negative errno. Preconditions: mmap_lock for write. */
export function* ksm_disable_merge_any(mm: mm_struct): K<number> {
  mmap_assert_write_locked(mm);
  if (!mm_flags_test(MMF_VM_MERGE_ANY, mm)) {
    return 0;
  }
  const err = yield* ksm_del_vmas(mm);
  if (err !== 0) {
    yield* ksm_add_vmas(mm);
    return err;
  }
  mm_flags_clear(MMF_VM_MERGE_ANY, mm);
  return 0;
}

/**
 * mm/ksm.c: ksm_madvise() v6.18: MADV_MERGEABLE and MADV_UNMERGEABLE on [start, end) of the VMA, whose new flags are in
 * `advised`. 0 or a negative errno. Preconditions: mmap_lock for write.
 */
export function* ksm_madvise(
  vma: vm_area_struct,
  start: number,
  end: number,
  advice: number,
  advised: { vm_flags: number },
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  if (advice === MADV_MERGEABLE) {
    if ((vma.vm_flags & VM_MERGEABLE) !== 0 || !ksm_compatible(vma.vm_flags)) {
      return 0;
    }
    if (!mm_flags_test(MMF_VM_MERGEABLE, mm)) {
      const err = yield* __ksm_enter(mm);
      if (err !== 0) {
        return err;
      }
    }
    advised.vm_flags = advised.vm_flags | VM_MERGEABLE;
  } else if (advice === MADV_UNMERGEABLE) {
    if ((advised.vm_flags & VM_MERGEABLE) === 0) {
      return 0;
    }
    if (vma.anon_vma !== null) {
      const err = yield* unmerge_ksm_pages(vma, start, end, true);
      if (err !== 0) {
        return err;
      }
    }
    advised.vm_flags = advised.vm_flags & ~VM_MERGEABLE;
  }
  return 0;
}
