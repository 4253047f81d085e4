/** kernel/sys.c v6.18: prctl(2), as far as memory management goes. Fidelity: dup; other options are refused. */
import type { K } from '../../sim/wait.ts';
import { EINTR, EINVAL } from '../errno.ts';
import { ksm_disable_merge_any, ksm_enable_merge_any } from '../mm/ksm_unmerge.ts';
import { MMF_VM_MERGE_ANY, mm_flags_test } from '../mm/mm.ts';
import { mmap_write_lock_killable, mmap_write_unlock } from '../mm/mmap_lock.ts';
import { current_mm } from './current.ts';

const PR_SET_MEMORY_MERGE = 67;
const PR_GET_MEMORY_MERGE = 68;

/** kernel/sys.c: prctl() v6.18: what the option says, or a negative errno. */
export function* sys_prctl(option: number, arg2: number): K<number> {
  const mm = current_mm();
  switch (option) {
    case PR_SET_MEMORY_MERGE: {
      if ((yield* mmap_write_lock_killable(mm)) !== 0) {
        return -EINTR;
      }
      const error = arg2 !== 0 ? yield* ksm_enable_merge_any(mm) : yield* ksm_disable_merge_any(mm);
      mmap_write_unlock(mm);
      return error;
    }
    case PR_GET_MEMORY_MERGE:
      return mm_flags_test(MMF_VM_MERGE_ANY, mm) ? 1 : 0;
    default:
      return -EINVAL;
  }
}
