/**
 * fs/file_table.c, fs/inode.c, kernel/task_work.c v6.18: what happens when the last reference to an open
 * file or to a nameless inode has gone. Apart from file_table.ts because everybody takes and drops
 * references, while this needs the page cache.
 */
import type { K } from '../../sim/wait.ts';
import { current } from '../kernel/current.ts';
import { PF_KTHREAD } from '../kernel/sched.ts';
import { freePageIndex } from '../mm/page_cache.ts';
import { shmem_unacct_size } from '../mm/shmem.ts';
import { shmem_evict_inode } from '../mm/shmem_swap.ts';
import { truncate_inode_pages } from '../mm/truncate.ts';
import {
  address_space_cachep,
  type file,
  filp_cachep,
  type inode,
  inode_cachep,
} from '../mm_types.ts';
import { processGlobals } from '../roots.ts';

/** fs/inode.c: evict() v6.18. Preconditions: the last reference is gone and no VMA maps the inode. */
function* evict(inode: inode): K {
  const mapping = inode.i_mapping;
  if (mapping !== null) {
    // shmem_evict_inode()
    shmem_unacct_size(inode.shmem_flags, inode.i_size);
    yield* truncate_inode_pages(mapping, 0);
    yield* shmem_evict_inode(inode);
    freePageIndex(inode);
    address_space_cachep.free(mapping);
  }
  inode_cachep.free(inode);
}

/** Drops a reference, in one step: true if the inode must go. */
function last_reference(inode: inode): boolean {
  inode.i_count = inode.i_count - 1;
  return inode.i_count === 0 && inode.i_nlink === 0;
}

/** include/linux/file_ref.h: file_ref_put_close() v6.18: true if this was the last reference. */
function file_ref_put_close(file: file): boolean {
  file.f_count = file.f_count - 1;
  return file.f_count === 0;
}

/** fs/inode.c: iput() v6.18. */
export function* iput(inode: inode): K {
  if (last_reference(inode)) {
    yield* evict(inode);
  }
}

/** fs/file_table.c: __fput() v6.18: releases a file that nobody refers to. */
export function* __fput(file: file): K {
  const inode = file.f_inode;
  if (inode !== null) {
    yield* iput(inode);
  }
  filp_cachep.free(file);
}

/** fs/file_table.c: fput_close_sync() v6.18: close() releases the file before it returns. */
export function* fput_close_sync(file: file): K {
  if (file_ref_put_close(file)) {
    yield* __fput(file);
  }
}

/** Takes the newest queued file, of the running task or of the kernel tasks. */
function take_work(): file | null {
  const task = current();
  const mine = task.task_works;
  if (mine !== null) {
    task.task_works = mine.f_llist;
    return mine;
  }
  const globals = processGlobals();
  const delayed = globals.delayed_fput_list;
  if ((task.flags & PF_KTHREAD) === 0 || delayed === null) {
    return null;
  }
  globals.delayed_fput_list = delayed.f_llist;
  return delayed;
}

/**
 * kernel/task_work.c: task_work_run() v6.18; for a kernel task flush_delayed_fput(). The only task work
 * here is ____fput(). Preconditions: no locks held.
 */
export function* task_work_run(): K {
  let file = take_work();
  while (file !== null) {
    yield* __fput(file);
    file = take_work();
  }
}
