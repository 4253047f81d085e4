/**
 * fs/file_table.c v6.18: open files and their references.
 *
 * The last fput() does not release the file on the spot: it queues it, and the task releases it on its
 * way back to user space (task_work_run() in fs/fput.ts), when it holds no lock. So munmap() of the last mapping of a
 * file may drop it under mmap_lock, and the inode still goes later.
 */
import { current } from '../kernel/current.ts';
import { PF_KTHREAD } from '../kernel/sched.ts';
import { FMODE_READ, FMODE_WRITE } from '../mm/mm.ts';
import { type file, filp_cachep, type inode } from '../mm_types.ts';
import { processGlobals } from '../roots.ts';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from './fs.ts';

/** OPEN_FMODE(): FMODE_* bits of an access mode. */
function open_fmode(flags: number): number {
  const mode = flags & O_ACCMODE;
  if (mode === O_RDONLY) {
    return FMODE_READ;
  }
  return mode === O_WRONLY ? FMODE_WRITE : FMODE_READ | FMODE_WRITE;
}

/**
 * fs/file_table.c: alloc_file_pseudo() v6.18: an open file of `inode`; the caller's reference to the
 * inode becomes the file's.
 */
export function alloc_file_pseudo(inode: inode, flags: number): file {
  const file = filp_cachep.alloc();
  file.f_inode = inode;
  file.f_mapping = inode.i_mapping;
  file.f_mode = open_fmode(flags);
  file.f_flags = flags;
  file.f_pos = 0;
  file.f_count = 1;
  file.f_llist = null;
  return file;
}

/** include/linux/fs.h: get_file() v6.18. */
export function get_file(file: file): file {
  file.f_count = file.f_count + 1;
  return file;
}

/** fs/file_table.c: fput() v6.18. Never waits: the file is queued, see the head of this file. */
export function fput(file: file): void {
  file.f_count = file.f_count - 1;
  if (file.f_count > 0) {
    return;
  }
  const task = current();
  if ((task.flags & PF_KTHREAD) === 0) {
    file.f_llist = task.task_works;
    task.task_works = file;
  } else {
    const globals = processGlobals();
    file.f_llist = globals.delayed_fput_list;
    globals.delayed_fput_list = file;
  }
}
