/**
 * mm/huge_memory.c: split_huge_pages_pid() v6.18, for one address: what writing to debugfs' split_huge_pages does to the
 * huge page mapped there.
 *
 * Lock tree: mmap_lock (read) -> PMD or PTE lock -> folio lock (trylock). Fidelity: dup for one page of anonymous memory.
 */
import { taskBlock } from '../../sim/task.ts';
import type { K } from '../../sim/wait.ts';
import { EBUSY, EINVAL, ENOENT, ESRCH } from '../errno.ts';
import { mmget_not_zero, mmput } from '../kernel/mm_users.ts';
import type { folio, task_struct, vm_area_struct } from '../mm_types.ts';
import { folio_trylock, folio_unlock } from './folio_lock.ts';
import { can_split_folio, split_folio } from './folio_split.ts';
import { VM_HUGETLB, VM_IO } from './mm.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { folio_get } from './page_alloc.ts';
import { folio_test_anon, folio_test_large } from './page-flags.ts';
import { folio_walk_end, folio_walk_start } from './pagewalk.ts';
import { folio_put } from './swap.ts';
import { vma_lookup } from './vma_tree.ts';

/**
 * The part of split_huge_pages_pid() between folio_walk_start() and folio_walk_end(): the folio is locked and gets a
 * reference. 0 or a negative errno.
 */
function lockForSplit(folio: folio): number {
  if (!folio_test_large(folio) || !folio_test_anon(folio)) {
    return -EINVAL;
  }
  if (!can_split_folio(folio, 0) || !folio_trylock(folio)) {
    return -EBUSY;
  }
  folio_get(folio);
  return 0;
}

/** Splits what `address` maps. Preconditions: mmap_lock held for read. */
function* splitMapped(vma: vm_area_struct | null, address: number): K<number> {
  if (vma === null || (vma.vm_flags & (VM_IO | VM_HUGETLB)) !== 0) {
    return -ENOENT;
  }
  const fw = yield* folio_walk_start(vma, address, 0);
  if (fw === null) {
    return -ENOENT;
  }
  const { folio } = fw;
  const error = lockForSplit(folio);
  folio_walk_end(fw);
  if (error !== 0) {
    return error;
  }
  const ret = yield* split_folio(folio);
  folio_unlock(folio);
  folio_put(folio);
  return ret;
}

/**
 * Splits the huge page that task number `task` maps at `address` into single pages. 0, or a negative errno: -EINVAL it is
 * not huge, -EBUSY somebody has it, -EAGAIN somebody took a reference meanwhile, -ENOENT nothing is mapped.
 */
export function* splitAt(task: number, address: number): K<number> {
  const mm = (taskBlock(task).context as task_struct | null)?.mm ?? null;
  if (mm === null || !mmget_not_zero(mm)) {
    return -ESRCH;
  }
  yield* mmap_read_lock(mm);
  const ret = yield* splitMapped(vma_lookup(mm, address), address);
  mmap_read_unlock(mm);
  yield* mmput(mm);
  return ret;
}
