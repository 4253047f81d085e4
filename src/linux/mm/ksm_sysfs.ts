/**
 * mm/ksm.c v6.18: what is written to the files of /sys/kernel/mm/ksm, and un-merging everything.
 *
 * Lock tree: ksm_thread_mutex, mmap_lock for read, ksm_mmlist_lock inside and outside of it, folio lock; the
 * faults take the rest. Fidelity: dup; one NUMA node.
 */
import type { K } from '../../sim/wait.ts';
import { EBUSY, EINVAL, ENOENT } from '../errno.ts';
import { mutex_lock, mutex_unlock } from '../kernel/locking/mutex.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { mmdrop } from '../kernel/mm_count.ts';
import { list_del, list_next } from '../lib/list.ts';
import type { mm_struct } from '../mm_types.ts';
import { ksm_test_exit, ksmGlobals } from './ksm_globals.ts';
import { remove_trailing_rmap_items, slotOfNode } from './ksm_scan.ts';
import { remove_all_stable_nodes } from './ksm_tree.ts';
import {
  KSM_RUN_STOP,
  KSM_RUN_UNMERGE,
  type ksm_globals,
  type ksm_mm_slot,
  ksm_mm_slot_cachep,
} from './ksm_types.ts';
import { unmerge_ksm_pages } from './ksm_unmerge.ts';
import { MMF_VM_MERGE_ANY, MMF_VM_MERGEABLE, mm_flags_clear, VM_MERGEABLE } from './mm.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { clear_current_oom_origin, set_current_oom_origin } from './oom_origin.ts';
import { vmaTreeFirst, vmaTreeNext } from './vma_tree.ts';

/** The loop over VMAs of unmerge_and_remove_all_rmap_items(). 0 or a negative errno. Preconditions: mmap_lock for read. */
function* unmergeMm(mm: mm_struct): K<number> {
  if (ksm_test_exit(mm)) {
    return 0;
  }
  for (let vma = vmaTreeFirst(mm); vma !== null; vma = vmaTreeNext(vma)) {
    if ((vma.vm_flags & VM_MERGEABLE) === 0 || vma.anon_vma === null) {
      continue;
    }
    const err = yield* unmerge_ksm_pages(vma, vma.vm_start, vma.vm_end, false);
    if (err !== 0) {
      return err;
    }
  }
  return 0;
}

/** The cursor goes to the slot behind `at`. Preconditions: ksm_mmlist_lock. */
function advanceCursor(ksm: ksm_globals, at: ksm_mm_slot): void {
  ksm.scan_mm_slot = slotOfNode(list_next(at.mm_node));
}

/**
 * mm/ksm.c: unmerge_and_remove_all_rmap_items() v6.18: every address has a page of its own again, no item and no stable
 * node is left. Address spaces stay on the list, but for those that are exiting. 0 or a negative errno: then it
 * was given up half way. Preconditions: ksm_thread_mutex.
 */
function* unmerge_and_remove_all_rmap_items(): K<number> {
  const ksm = ksmGlobals();
  const head = ksm.ksm_mm_head as ksm_mm_slot;
  yield* spin_lock(ksm.ksm_mmlist_lock);
  advanceCursor(ksm, head);
  spin_unlock(ksm.ksm_mmlist_lock);
  for (;;) {
    const mm_slot = ksm.scan_mm_slot as ksm_mm_slot;
    if (mm_slot === head) {
      break;
    }
    const mm = mm_slot.mm as mm_struct;
    yield* mmap_read_lock(mm);
    const err = yield* unmergeMm(mm);
    if (err !== 0) {
      mmap_read_unlock(mm);
      yield* spin_lock(ksm.ksm_mmlist_lock);
      ksm.scan_mm_slot = head;
      spin_unlock(ksm.ksm_mmlist_lock);
      return err;
    }
    // From the first item on: the cursor's link is not used before the next scan sets it.
    ksm.scan_prev = null;
    yield* remove_trailing_rmap_items(mm_slot);
    mmap_read_unlock(mm);
    yield* spin_lock(ksm.ksm_mmlist_lock);
    advanceCursor(ksm, mm_slot);
    if (ksm_test_exit(mm)) {
      list_del(mm_slot.mm_node);
      spin_unlock(ksm.ksm_mmlist_lock);
      ksm_mm_slot_cachep.free(mm_slot);
      mm_flags_clear(MMF_VM_MERGEABLE, mm);
      mm_flags_clear(MMF_VM_MERGE_ANY, mm);
      yield* mmdrop(mm);
    } else {
      spin_unlock(ksm.ksm_mmlist_lock);
    }
  }
  // Pages that are still mapped keep their nodes: an exit that races may not have unmapped them yet.
  yield* remove_all_stable_nodes();
  ksm.scan_seqnr = 0;
  return 0;
}

/**
 * mm/ksm.c: run_store() v6.18: 1 lets ksmd run, 0 stops it, 2 stops it and un-merges everything. Here ksmd runs in the
 * operation ksm_scan. 0 or a negative errno.
 */
function* run_store(flags: number): K<number> {
  const ksm = ksmGlobals();
  let err = 0;
  if (flags < 0 || flags > KSM_RUN_UNMERGE) {
    return -EINVAL;
  }
  yield* mutex_lock(ksm.ksm_thread_mutex);
  if (ksm.ksm_run !== flags) {
    ksm.ksm_run = flags;
    if ((flags & KSM_RUN_UNMERGE) !== 0) {
      const origin = set_current_oom_origin();
      err = yield* unmerge_and_remove_all_rmap_items();
      clear_current_oom_origin(origin);
      if (err !== 0) {
        ksm.ksm_run = KSM_RUN_STOP;
      }
    }
  }
  mutex_unlock(ksm.ksm_thread_mutex);
  return err;
}

/** mm/ksm.c: max_page_sharing_store() v6.18: only while nothing is merged. 0 or a negative errno. */
function* max_page_sharing_store(knob: number): K<number> {
  const ksm = ksmGlobals();
  let err = 0;
  // A KSM page is made of two pages.
  if (knob < 2) {
    return -EINVAL;
  }
  if (ksm.ksm_max_page_sharing === knob) {
    return 0;
  }
  yield* mutex_lock(ksm.ksm_thread_mutex);
  if (ksm.ksm_max_page_sharing !== knob) {
    if (ksm.ksm_pages_shared !== 0 || (yield* remove_all_stable_nodes()) !== 0) {
      err = -EBUSY;
    } else {
      ksm.ksm_max_page_sharing = knob;
    }
  }
  mutex_unlock(ksm.ksm_thread_mutex);
  return err;
}

/** kstrtobool() of a number: 0 or 1, or null. */
const boolOf = (value: number): number | null => (value === 0 || value === 1 ? value : null);

/** Writes a number to /sys/kernel/mm/ksm/NAME. 0 or a negative errno: -ENOENT where there is no such file here. */
export function* storeKsmSetting(name: string, value: number): K<number> {
  const ksm = ksmGlobals();
  const flag = boolOf(value);
  switch (name) {
    case 'run':
      return yield* run_store(value);
    case 'max_page_sharing':
      return yield* max_page_sharing_store(value);
    case 'use_zero_pages':
      ksm.ksm_use_zero_pages = flag ?? ksm.ksm_use_zero_pages;
      return flag === null ? -EINVAL : 0;
    case 'smart_scan':
      ksm.ksm_smart_scan = flag ?? ksm.ksm_smart_scan;
      return flag === null ? -EINVAL : 0;
    default:
      return -ENOENT;
  }
}
