/**
 * kernel/fork.c, include/linux/sched/mm.h v6.18: references to an mm_struct as an object: who has one may look into it
 * although its address space is gone. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { BUG_ON, WARN_ON_ONCE } from '../lib/bug.ts';
import { mm_free_pgd } from '../mm/pgtable.ts';
import { mm_cachep, type mm_struct } from '../mm_types.ts';
import { current } from './current.ts';

/** mmgrab(). */
export function mmgrab(mm: mm_struct): void {
  mm.mm_count = mm.mm_count + 1;
}

/** atomic_dec_and_test(&mm->mm_count): of two tasks that let go at once, one sees 0. */
function mm_count_dec_and_test(mm: mm_struct): boolean {
  mm.mm_count = mm.mm_count - 1;
  return mm.mm_count === 0;
}

/** kernel/fork.c: check_mm() v6.18: the counters of a dead mm must be zero. */
function check_mm(mm: mm_struct): void {
  WARN_ON_ONCE(mm.rss_file !== 0, 'Bad rss-counter state type:MM_FILEPAGES');
  WARN_ON_ONCE(mm.rss_anon !== 0, 'Bad rss-counter state type:MM_ANONPAGES');
  WARN_ON_ONCE(mm.rss_shmem !== 0, 'Bad rss-counter state type:MM_SHMEMPAGES');
  WARN_ON_ONCE(mm.rss_swap !== 0, 'Bad rss-counter state type:MM_SWAPENTS');
  WARN_ON_ONCE(mm.pgtables_bytes !== 0, 'non-zero pgtables_bytes on freeing mm');
}

/** kernel/fork.c: __mmdrop() v6.18. */
export function* __mmdrop(mm: mm_struct): K {
  BUG_ON(mm === current().mm, 'mm == current->mm');
  WARN_ON_ONCE(mm === current().active_mm, 'mm == current->active_mm');
  mm_free_pgd(mm);
  check_mm(mm);
  mm_cachep.free(mm);
}

/** include/linux/sched/mm.h: mmdrop() v6.18. */
export function* mmdrop(mm: mm_struct): K {
  if (mm_count_dec_and_test(mm)) {
    yield* __mmdrop(mm);
  }
}
