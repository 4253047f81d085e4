/**
 * mm/page-writeback.c v6.18: folio_clear_dirty_for_io() of the page that a task maps, as an operation: the part of
 * writeback that walks the reverse mapping. Fidelity: custom (which page), mm/rmap.ts does it.
 *
 * Lock tree: folio lock, i_mmap_rwsem for read, ptl.
 */
import { taskBlock } from '../../sim/task.ts';
import type { K } from '../../sim/wait.ts';
import { ENOENT, ESRCH } from '../errno.ts';
import type { folio, mm_struct, task_struct } from '../mm_types.ts';
import { folio_lock, folio_unlock } from './folio_lock.ts';
import { getFolioAt } from './migrate.ts';
import { folio_mark_dirty } from './page-writeback.ts';
import { folio_mkclean } from './rmap.ts';
import { folio_put } from './swap.ts';

/** The folio that a task maps, with a reference, or a negative errno. One step. */
function folioOfTask(task: number, address: number): folio | number {
  const mm: mm_struct | null = (taskBlock(task).context as task_struct | null)?.mm ?? null;
  if (mm === null) {
    return -ESRCH;
  }
  return getFolioAt(mm, address) ?? -ENOENT;
}

/**
 * Write-protects and cleans every shared mapping of the page-cache folio that task number `task` maps at
 * `address`; what a mapping had dirtied is then known to the folio. Entries cleaned, or a negative errno.
 */
export function* mkcleanAt(task: number, address: number): K<number> {
  const folio = folioOfTask(task, address);
  if (typeof folio === 'number') {
    return folio;
  }
  yield* folio_lock(folio);
  const cleaned = yield* folio_mkclean(folio);
  if (cleaned > 0) {
    folio_mark_dirty(folio);
  }
  folio_unlock(folio);
  folio_put(folio);
  return cleaned;
}
