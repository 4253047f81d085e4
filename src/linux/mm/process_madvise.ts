/**
 * mm/madvise.c v6.18: process_madvise(2): advice about several ranges at once, also of another process.
 *
 * Lock tree: signal->exec_update_lock is not there; task->alloc_lock, then as madvise(2), once for all
 * ranges. Fidelity: dup, with a process in place of its pidfd (there are none): pidfdTask() (ours).
 */
import { taskBlock } from '../../sim/task.ts';
import type { K } from '../../sim/wait.ts';
import { EBADF, EFAULT, EINTR, EINVAL, ERESTARTNOINTR, ESRCH } from '../errno.ts';
import { current, current_mm } from '../kernel/current.ts';
import { task_lock, task_unlock } from '../kernel/fork.ts';
import { mmget, mmput } from '../kernel/mm_users.ts';
import { PF_KTHREAD } from '../kernel/sched.ts';
import { put_task_struct } from '../kernel/task_types.ts';
import type { mm_struct, task_struct } from '../mm_types.ts';
import {
  type madvise_behavior,
  madvise_do_behavior,
  madvise_finish_tlb,
  madvise_init_tlb,
  madvise_lock,
  madvise_should_skip,
  madvise_unlock,
  newBehavior,
} from './madvise.ts';
import { MADV_COLD, MADV_COLLAPSE, MADV_PAGEOUT, MADV_WILLNEED, TASK_SIZE } from './mm.ts';

/** struct iovec. */
export interface iovec {
  readonly iov_base: number;
  readonly iov_len: number;
}

const UIO_MAXIOV = 1024;
/** INT_MAX & PAGE_MASK. */
const MAX_RW_COUNT = 0x7fff_f000;
const PIDFD_SELF_THREAD = -10000;
const PIDFD_SELF_THREAD_GROUP = -10001;

/**
 * lib/iov_iter.c: import_iovec() v6.18: the ranges, as long as one read or write may be in all; a negative
 * errno. `vec` is what can be read of the caller's array of `vlen`.
 */
function import_iovec(vec: readonly iovec[], vlen: number): iovec[] | number {
  if (vlen > UIO_MAXIOV) {
    return -EINVAL;
  }
  if (vec.length < vlen) {
    return -EFAULT;
  }
  const ranges = vec.slice(0, vlen);
  if (ranges.some(({ iov_len }) => iov_len < 0 || iov_len >= 2 ** 63)) {
    return -EINVAL;
  }
  let total = 0;
  const capped: iovec[] = [];
  for (const { iov_base, iov_len } of ranges) {
    // Of a single range the length is cut first.
    const checked = vlen === 1 ? Math.min(iov_len, MAX_RW_COUNT) : iov_len;
    if (iov_base < 0 || iov_base + checked > TASK_SIZE) {
      return -EFAULT;
    }
    const len = Math.min(iov_len, MAX_RW_COUNT - total);
    total += len;
    capped.push({ iov_base, iov_len: len });
  }
  return capped;
}

/** pidfd_get_task() v6.18 of a process named directly: the task with a reference, or a negative errno. */
function pidfdTask(pidfd: number): task_struct | number {
  if (pidfd === PIDFD_SELF_THREAD || pidfd === PIDFD_SELF_THREAD_GROUP) {
    const self = current();
    self.usage = self.usage + 1;
    return self;
  }
  if (pidfd <= 0) {
    return -EBADF;
  }
  const block = taskBlock(pidfd);
  const task = block.context as task_struct | null;
  if (task === null || block.dead === 1) {
    return -ESRCH;
  }
  task.usage = task.usage + 1;
  return task;
}

/** kernel/fork.c: get_task_mm() v6.18: the address space with a reference, or null. */
function* get_task_mm(task: task_struct): K<mm_struct | null> {
  if ((task.flags & PF_KTHREAD) !== 0) {
    return null;
  }
  yield* task_lock(task);
  const mm = task.mm;
  if (mm !== null) {
    mmget(mm);
  }
  task_unlock(task);
  return mm;
}

/** mm/madvise.c: process_madvise_remote_valid() v6.18: advice that destroys nothing. */
function process_madvise_remote_valid(behavior: number): boolean {
  switch (behavior) {
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_WILLNEED:
    case MADV_COLLAPSE:
      return true;
    default:
      return false;
  }
}

/** One range of vector_madvise(): 0, or what the advice failed with. */
function* adviseRange(m: madvise_behavior, range: iovec): K<number> {
  const skip = madvise_should_skip(range.iov_base, range.iov_len, m.behavior);
  if (skip !== null) {
    return skip;
  }
  return yield* madvise_do_behavior(range.iov_base, range.iov_len, m);
}

/** mm/madvise.c: vector_madvise() v6.18: bytes advised, or a negative errno if there are none. */
function* vector_madvise(mm: mm_struct, iter: readonly iovec[], behavior: number): K<number> {
  const m = newBehavior(mm, behavior);
  let ret = yield* madvise_lock(m);
  if (ret !== 0) {
    return ret;
  }
  madvise_init_tlb(m);
  let done = 0;
  let next = 0;
  let locked = true;
  // Empty ranges at the end are not reached: iov_iter_count() is 0 before them.
  let left = iter.reduce((sum, { iov_len }) => sum + iov_len, 0);
  while (left > 0) {
    const range = iter[next] as iovec;
    ret = yield* adviseRange(m, range);
    if (ret === -ERESTARTNOINTR) {
      // Not the whole call again, which would advise twice: this range, under new locks.
      if (current().sigkill === 1) {
        ret = -EINTR;
        break;
      }
      yield* madvise_finish_tlb(m);
      madvise_unlock(m);
      ret = yield* madvise_lock(m);
      if (ret !== 0) {
        locked = false;
        break;
      }
      madvise_init_tlb(m);
      continue;
    }
    if (ret < 0) {
      break;
    }
    done += range.iov_len;
    left -= range.iov_len;
    // iov_iter_advance() also passes the empty ranges that follow, whatever their address.
    do {
      next += 1;
    } while (iter[next]?.iov_len === 0);
  }
  if (locked) {
    yield* madvise_finish_tlb(m);
    madvise_unlock(m);
  }
  return done > 0 ? done : ret;
}

/** mm/madvise.c: process_madvise(2) v6.18. Bytes advised, or a negative errno. Every task has CAP_SYS_NICE. */
export function* process_madvise(
  pidfd: number,
  vec: readonly iovec[],
  vlen: number,
  behavior: number,
  flags: number,
): K<number> {
  if (flags !== 0) {
    return -EINVAL;
  }
  const iter = import_iovec(vec, vlen);
  if (typeof iter === 'number') {
    return iter;
  }
  const task = pidfdTask(pidfd);
  if (typeof task === 'number') {
    return task;
  }
  const mm = yield* get_task_mm(task);
  if (mm === null) {
    put_task_struct(task);
    return -ESRCH;
  }
  let ret = -EINVAL;
  if (mm === current_mm() || process_madvise_remote_valid(behavior)) {
    ret = yield* vector_madvise(mm, iter, behavior);
  }
  yield* mmput(mm);
  put_task_struct(task);
  return ret;
}
