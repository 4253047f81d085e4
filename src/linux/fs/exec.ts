/**
 * fs/exec.c, fs/binfmt_elf.c v6.18: execve(). A new address space is built beside the old one, and from the
 * point of no return (begin_new_exec()) on a failure kills the process.
 *
 * Lock tree: mmap_lock of the old mm for read while the task switches; mmap_lock of the new one.
 *
 * Fidelity: the kernel's steps and order for the stack (fs/exec_stack.ts, and for older kernels mm_ops.exec) and the
 * switch of address spaces; the program
 * itself is made up: a static position-independent one without ASLR, of four pages of text and one of
 * data (loadImage()). Its stack is moved by a fixed distance where Linux draws it at random, so that
 * relocate_vma_down() runs. Credentials, interpreters, ptrace and signals are not here.
 */
import { assert } from '../../base/assert.ts';
import type { Obj } from '../../sim/struct.ts';
import { textId } from '../../sim/text.ts';
import { block, type K } from '../../sim/wait.ts';
import { EACCES, EAGAIN, EINTR, ENOENT, ENOMEM } from '../errno.ts';
import { current, current_mm } from '../kernel/current.ts';
import { trace_sched_process_exec } from '../kernel/events.ts';
import { reapIdleThreads, release_task, zap_other_threads } from '../kernel/exit.ts';
import { mm_release, task_lock, task_unlock } from '../kernel/fork.ts';
import { spin_lock, spin_unlock } from '../kernel/locking/spinlock.ts';
import { mmdrop } from '../kernel/mm_count.ts';
import { arch_pick_mmap_layout, mm_alloc, mmput, set_mm_exe_file } from '../kernel/mm_users.ts';
import { EXIT_DEAD, PF_FORKNOEXEC, SIGNAL_GROUP_EXIT } from '../kernel/sched.ts';
import { thread_group_alone } from '../kernel/task_types.ts';
import { memory_manager } from '../kernel.ts';
import { BUG_ON } from '../lib/bug.ts';
import {
  FS_DISK,
  FS_TMPFS,
  MAP_FIXED,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  STACK_TOP_MAX,
} from '../mm/mm.ts';
import { mmap_read_lock_killable, mmap_read_unlock } from '../mm/mmap_lock.ts';
import type { exec_ops } from '../mm/ops.ts';
import type {
  file,
  files_struct,
  mm_struct,
  signal_struct,
  task_struct,
  vm_area_struct,
} from '../mm_types.ts';
import { do_close_on_exec, unshare_files } from './file.ts';
import { alloc_file_pseudo, fput } from './file_table.ts';
import { O_RDONLY } from './fs.ts';
import { DEFAULT_FILE_SIZE, type FileFacts, findOrMakeInode } from './open.ts';

/** struct linux_binprm, on the stack of the task that execs. */
interface linux_binprm {
  readonly file: file;
  readonly filename: string;
  mm: mm_struct | null;
  vma: vm_area_struct | null;
  point_of_no_return: boolean;
}

/** What an operation may say about the new program. */
export interface ExecOptions extends FileFacts {
  /** False: the address space begins empty (a recording shows the loader's own mappings). */
  readonly image?: boolean;
  /** Where the heap begins. */
  readonly brk?: number;
  readonly mmapBase?: number;
}

/** Where the made-up program goes, and its size in pages. */
const IMAGE_BASE = 0x555555554000;
const TEXT_PAGES = 4;
const DATA_PAGES = 1;
/** What the C library takes from the heap before main(): 132 KiB. */
const FIRST_HEAP = 0x21000;
/** Distance from STACK_TOP_MAX to the final stack. */
const STACK_SHIFT = 34 * PAGE_SIZE;

/** What the running kernel's memory manager does for execve(). */
function exec_hooks(): exec_ops {
  const { exec } = memory_manager();
  assert(exec !== undefined, 'execve is not missing');
  return exec;
}

/** fs/exec.c: do_open_execat() v6.18. */
function open_exec(filename: string, options: ExecOptions): file | number {
  if (options.missing === true) {
    return -ENOENT;
  }
  const inode = findOrMakeInode(filename, options, DEFAULT_FILE_SIZE);
  if (inode.i_kind !== FS_DISK && inode.i_kind !== FS_TMPFS) {
    inode.i_count = inode.i_count - 1;
    return -EACCES;
  }
  return alloc_file_pseudo(inode, O_RDONLY);
}

/** fs/exec.c: copy_strings() v6.18: the arguments fill the one page of the new stack. */
function* copy_arguments(bprm: linux_binprm): K<number> {
  const vma = bprm.vma;
  const mm = bprm.mm;
  if (vma === null || mm === null) {
    return 0;
  }
  return yield* exec_hooks().get_arg_page(mm, vma);
}

/** fs/exec.c: bprm_mm_init() v6.18. */
function* bprm_mm_init(bprm: linux_binprm, stack: boolean): K<number> {
  const mm = mm_alloc();
  if (mm === null) {
    return -ENOMEM;
  }
  bprm.mm = mm;
  if (!stack) {
    return 0;
  }
  const vma = yield* exec_hooks().create_init_stack_vma(mm);
  if (typeof vma === 'number') {
    bprm.mm = null;
    yield* mmdrop(mm);
    return vma;
  }
  bprm.vma = vma;
  return 0;
}

/** The new leader of a process takes over the identity of the old one (exchange_tids() and transfer_pid()). */
function take_over_leader(tsk: task_struct, leader: task_struct): void {
  const pid = tsk.pid;
  tsk.pid = leader.pid;
  leader.pid = pid;
  tsk.real_parent = leader.real_parent;
  tsk.group_leader = tsk;
  leader.group_leader = tsk;
  leader.exit_state = EXIT_DEAD;
}

/** fs/exec.c: de_thread() v6.18: kills the other threads and waits until they are gone. */
function* de_thread(tsk: task_struct): K<number> {
  const sig = tsk.signal as signal_struct;
  if (sig.nr_threads > 1) {
    yield* spin_lock(sig.siglock);
    if ((sig.flags & SIGNAL_GROUP_EXIT) !== 0 || sig.group_exec_task !== null) {
      spin_unlock(sig.siglock);
      return -EAGAIN;
    }
    sig.group_exec_task = tsk;
    sig.notify_count = zap_other_threads(tsk);
    spin_unlock(sig.siglock);
    yield* reapIdleThreads(tsk, 0);
    yield* block(thread_group_alone, (sig as Obj).addr, 0);
    if (tsk.sigkill === 1) {
      sig.group_exec_task = null;
      sig.notify_count = 0;
      return -EAGAIN;
    }
    const leader = tsk.group_leader;
    if (leader !== null && leader !== tsk) {
      take_over_leader(tsk, leader);
      yield* release_task(leader);
    }
    sig.group_exec_task = null;
    sig.notify_count = 0;
  }
  BUG_ON(tsk.group_leader !== tsk, '!thread_group_leader(tsk)');
  return 0;
}

/**
 * fs/exec.c: exec_mmap() v6.18: the task leaves its old address space for the new one. A vfork() parent is
 * released first: it gets its address space back before this task has dropped it.
 */
function* exec_mmap(mm: mm_struct): K<number> {
  const tsk = current();
  const old_mm = tsk.mm;
  yield* mm_release(tsk);
  if (old_mm !== null) {
    if ((yield* mmap_read_lock_killable(old_mm)) !== 0) {
      return -EINTR;
    }
  }
  yield* task_lock(tsk);
  const active_mm = tsk.active_mm;
  tsk.active_mm = mm;
  tsk.mm = mm;
  task_unlock(tsk);
  if (old_mm !== null) {
    mmap_read_unlock(old_mm);
    BUG_ON(active_mm !== old_mm, 'active_mm != old_mm');
    yield* mmput(old_mm);
    return 0;
  }
  if (active_mm !== null) {
    yield* mmdrop(active_mm);
  }
  return 0;
}

/** Last component of a path. */
function kbasename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** fs/exec.c: begin_new_exec() v6.18. */
function* begin_new_exec(bprm: linux_binprm): K<number> {
  const me = current();
  bprm.point_of_no_return = true;
  let retval = yield* de_thread(me);
  if (retval !== 0) {
    return retval;
  }
  retval = yield* unshare_files();
  if (retval !== 0) {
    return retval;
  }
  const mm = bprm.mm as mm_struct;
  set_mm_exe_file(mm, bprm.file);
  retval = yield* exec_mmap(mm);
  if (retval !== 0) {
    return retval;
  }
  bprm.mm = null;
  me.flags = me.flags & ~PF_FORKNOEXEC;
  yield* do_close_on_exec(me.files as files_struct);
  me.comm = textId(kbasename(bprm.filename));
  mm.owner = me.comm;
  return 0;
}

/** fs/binfmt_elf.c: load_elf_binary() v6.18, of the made-up program: text, data, heap. */
function* loadImage(bprm: linux_binprm, options: ExecOptions): K<number> {
  const mm = current_mm();
  const data = IMAGE_BASE + TEXT_PAGES * PAGE_SIZE;
  const { map_image } = exec_hooks();
  let addr = yield* map_image(
    bprm.file,
    IMAGE_BASE,
    TEXT_PAGES * PAGE_SIZE,
    PROT_READ | PROT_EXEC,
    MAP_PRIVATE | MAP_FIXED,
    0,
  );
  if (addr < 0) {
    return addr;
  }
  addr = yield* map_image(
    bprm.file,
    data,
    DATA_PAGES * PAGE_SIZE,
    PROT_READ | PROT_WRITE,
    MAP_PRIVATE | MAP_FIXED,
    TEXT_PAGES,
  );
  if (addr < 0) {
    return addr;
  }
  mm.start_brk = options.brk ?? data + DATA_PAGES * PAGE_SIZE;
  mm.brk = mm.start_brk;
  // The first thing the program does.
  yield* memory_manager().brk(mm.start_brk + FIRST_HEAP);
  return 0;
}

/** fs/exec.c: exec_binprm() v6.18, with load_elf_binary() around begin_new_exec(). */
function* exec_binprm(bprm: linux_binprm, options: ExecOptions): K<number> {
  let retval = yield* begin_new_exec(bprm);
  if (retval !== 0) {
    return retval;
  }
  // setup_new_exec()
  const mm = current_mm();
  arch_pick_mmap_layout(mm);
  mm.mmap_base = options.mmapBase ?? mm.mmap_base;
  if (bprm.vma === null) {
    mm.start_brk = options.brk ?? IMAGE_BASE + (TEXT_PAGES + DATA_PAGES) * PAGE_SIZE;
    mm.brk = mm.start_brk;
    return 0;
  }
  const vma = bprm.vma;
  retval = yield* exec_hooks().setup_arg_pages(vma, STACK_TOP_MAX - STACK_SHIFT);
  if (retval !== 0) {
    return retval;
  }
  return yield* loadImage(bprm, options);
}

/** fs/exec.c: free_bprm() v6.18: what the new program did not take. */
function* free_bprm(bprm: linux_binprm): K {
  const mm = bprm.mm;
  if (mm !== null) {
    if (bprm.vma !== null) {
      exec_hooks().discard?.(bprm.vma);
    }
    yield* mmput(mm);
  }
  fput(bprm.file);
}

/** fs/exec.c: do_execveat_common() and bprm_execve() v6.18. 0, or a negative errno. */
export function* do_execve(filename: string, options: ExecOptions): K<number> {
  const file = open_exec(filename, options);
  if (typeof file === 'number') {
    return file;
  }
  const bprm: linux_binprm = { file, filename, mm: null, vma: null, point_of_no_return: false };
  let retval = yield* bprm_mm_init(bprm, options.image !== false);
  if (retval === 0) {
    retval = yield* copy_arguments(bprm);
  }
  if (retval === 0) {
    retval = yield* exec_binprm(bprm, options);
  }
  if (retval === 0) {
    trace_sched_process_exec({ pid: current().pid, filename });
  } else if (bprm.point_of_no_return) {
    // force_fatal_sig(SIGSEGV): there is no program to return to.
    current().sigkill = 1;
  }
  yield* free_bprm(bprm);
  return retval;
}
