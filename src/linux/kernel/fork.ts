/**
 * kernel/fork.c v6.18: fork, vfork and clone.
 *
 * Lock tree: mmap_lock of the parent -> mmap_lock of the child (dup_mmap); tasklist_lock -> siglock.
 *
 * Fidelity: dup of what memory management sees, in the kernel's order. Not here: credentials, cgroups,
 * namespaces, scheduler classes, ptrace, pidfds, signals other than SIGKILL. A new task is a task of
 * the machine; its pid is that task's number unless the operation says otherwise.
 */
import { assert } from '../../base/assert.ts';
import { activeMachine } from '../../sim/machine.ts';
import { taskBlock } from '../../sim/task.ts';
import { textId, textOf } from '../../sim/text.ts';
import type { K } from '../../sim/wait.ts';
import { EINTR, EINVAL, ENOMEM, ERESTARTNOINTR } from '../errno.ts';
import { dup_fd, exit_files } from '../fs/file.ts';
import { memory_manager } from '../kernel.ts';
import { should_failslab } from '../mm/failslab.ts';
import {
  completion_cachep,
  type mm_struct,
  signal_cachep,
  type signal_struct,
  type task_struct,
  task_struct_cachep,
} from '../mm_types.ts';
import { processGlobals } from '../roots.ts';
import { current } from './current.ts';
import { trace_task_newtask } from './events.ts';
import { spin_lock, spin_unlock } from './locking/spinlock.ts';
import { allocate_mm, mm_init, mmget, mmput, set_mm_exe_file } from './mm_users.ts';
import { call_rcu } from './rcu.ts';
import { complete, wait_for_completion_killable } from './sched/completion.ts';
import {
  CLONE_FILES,
  CLONE_FS,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWUSER,
  CLONE_PARENT,
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_VFORK,
  CLONE_VM,
  PF_FORKNOEXEC,
  PF_KTHREAD,
} from './sched.ts';
import { __delayed_free_task, put_task_struct } from './task_types.ts';

/** struct kernel_clone_args, as far as it matters. */
export interface kernel_clone_args {
  readonly flags: number;
  /** Name of the new task on screen; default: the parent's. */
  readonly name?: string;
  /** Pid that a recording dictates. */
  readonly pid?: number;
}

/** include/linux/sched/task.h: task_lock() v6.18. */
export function* task_lock(tsk: task_struct): K {
  yield* spin_lock(tsk.alloc_lock);
}

export function task_unlock(tsk: task_struct): void {
  spin_unlock(tsk.alloc_lock);
}

/** kernel/fork.c: dup_task_struct() v6.18: a copy with fresh counts. null: no memory. */
function dup_task_struct(orig: task_struct): task_struct | null {
  if (should_failslab()) {
    return null;
  }
  const tsk = task_struct_cachep.alloc();
  tsk.pid = 0;
  tsk.comm = orig.comm;
  tsk.flags = orig.flags;
  tsk.signal = orig.signal;
  tsk.exit_state = 0;
  // One for being listed, one for being scheduled; both together hold one `usage`.
  tsk.rcu_users = 2;
  tsk.usage = 1;
  return tsk;
}

/** kernel/fork.c: copy_files() v6.18. */
function* copy_files(clone_flags: number, tsk: task_struct): K<number> {
  const oldf = current().files;
  if (oldf === null) {
    return 0;
  }
  if ((clone_flags & CLONE_FILES) !== 0) {
    oldf.count = oldf.count + 1;
    tsk.files = oldf;
    return 0;
  }
  if (should_failslab()) {
    return -ENOMEM;
  }
  tsk.files = dup_fd(oldf);
  return 0;
}

/** An empty signal_struct for a process of one thread. */
export function alloc_signal(): signal_struct {
  const sig = signal_cachep.alloc();
  sig.nr_threads = 1;
  sig.live = 1;
  sig.sigcnt = 1;
  return sig;
}

/** kernel/fork.c: copy_signal() v6.18. */
function* copy_signal(clone_flags: number, tsk: task_struct): K<number> {
  if ((clone_flags & CLONE_THREAD) !== 0) {
    return 0;
  }
  tsk.signal = null;
  if (should_failslab()) {
    return -ENOMEM;
  }
  tsk.signal = alloc_signal();
  return 0;
}

/** memcpy() of an mm_struct, without locks, tree and page tables. */
function copy_mm_fields(mm: mm_struct, oldmm: mm_struct): void {
  mm.mmap_base = oldmm.mmap_base;
  mm.mmap_legacy_base = oldmm.mmap_legacy_base;
  mm.task_size = oldmm.task_size;
  mm.total_vm = oldmm.total_vm;
  mm.data_vm = oldmm.data_vm;
  mm.exec_vm = oldmm.exec_vm;
  mm.stack_vm = oldmm.stack_vm;
  mm.start_brk = oldmm.start_brk;
  mm.brk = oldmm.brk;
  mm.start_stack = oldmm.start_stack;
  mm.owner = oldmm.owner;
  mm.ksm_zero_pages = oldmm.ksm_zero_pages;
  // Without OSPKE nothing sets it anew.
  mm.pkey_allocation_map = oldmm.pkey_allocation_map;
}

/** kernel/fork.c: dup_mm() v6.18: a copy of the address space, or null. */
export function* dup_mm(tsk: task_struct, oldmm: mm_struct): K<mm_struct | null> {
  const mm = allocate_mm();
  if (mm === null) {
    return null;
  }
  copy_mm_fields(mm, oldmm);
  mm_init(mm, current().mm);
  mm.owner = tsk.comm;
  // Linux: dup_mm_exe_file(), in dup_mmap() once mmap_lock is held.
  set_mm_exe_file(mm, oldmm.exe_file);
  const err = yield* memory_manager().dup_mmap(mm, oldmm);
  if (err !== 0) {
    // The half-made copy is torn down like any other address space, up to where it got.
    yield* mmput(mm);
    return null;
  }
  return mm;
}

/** kernel/fork.c: copy_mm() v6.18. */
function* copy_mm(clone_flags: number, tsk: task_struct): K<number> {
  tsk.mm = null;
  tsk.active_mm = null;
  const oldmm = current().mm;
  if (oldmm === null) {
    return 0;
  }
  let mm: mm_struct | null = oldmm;
  if ((clone_flags & CLONE_VM) !== 0) {
    mmget(oldmm);
  } else {
    mm = yield* dup_mm(tsk, oldmm);
    if (mm === null) {
      return -ENOMEM;
    }
  }
  tsk.mm = mm;
  tsk.active_mm = mm;
  return 0;
}

/** alloc_pid(): makes the task of the machine. It cannot run before wake_up_new_task(). */
function alloc_pid(tsk: task_struct, args: kernel_clone_args): void {
  const id = activeMachine().spawn(args.name ?? textOf(tsk.comm));
  tsk.sim_id = id;
  tsk.pid = args.pid ?? id;
  if (args.name !== undefined) {
    tsk.comm = textId(args.name);
  }
}

/** free_pid(): a task that never ran. */
function free_pid(tsk: task_struct): void {
  taskBlock(tsk.sim_id).dead = 1;
  tsk.sim_id = 0;
}

/** The flag combinations that copy_process() refuses, in its order. */
function clone_flags_error(clone_flags: number): number {
  const all = (mask: number): boolean => (clone_flags & mask) === mask;
  const any = (mask: number): boolean => (clone_flags & mask) !== 0;
  if (all(CLONE_NEWNS | CLONE_FS) || all(CLONE_NEWUSER | CLONE_FS)) {
    return -EINVAL;
  }
  // Threads share signals, and shared signal handlers imply a shared address space.
  if (any(CLONE_THREAD) && !any(CLONE_SIGHAND)) {
    return -EINVAL;
  }
  if (any(CLONE_SIGHAND) && !any(CLONE_VM)) {
    return -EINVAL;
  }
  if (any(CLONE_THREAD) && any(CLONE_NEWUSER | CLONE_NEWPID)) {
    return -EINVAL;
  }
  return 0;
}

/** Undoes copy_files(), copy_signal() and the task itself: the tail of copy_process()'s error path. */
function* abandon_task(tsk: task_struct, clone_flags: number): K {
  if ((clone_flags & CLONE_THREAD) !== 0) {
    // The parent's: this task never got its reference.
    tsk.signal = null;
  }
  yield* exit_files(tsk);
  call_rcu(tsk, __delayed_free_task);
}

/**
 * kernel/fork.c: copy_process() v6.18: the new task, complete but not started, or a negative errno.
 * Preconditions: no locks held.
 */
export function* copy_process(args: kernel_clone_args): K<task_struct | number> {
  const clone_flags = args.flags;
  const parent = current();
  const refused = clone_flags_error(clone_flags);
  if (refused !== 0) {
    return refused;
  }
  if (parent.sigkill === 1) {
    return -ERESTARTNOINTR;
  }
  const p = dup_task_struct(parent);
  if (p === null) {
    return -ENOMEM;
  }
  p.flags = (p.flags & ~PF_KTHREAD) | PF_FORKNOEXEC;
  let retval = yield* copy_files(clone_flags, p);
  if (retval < 0) {
    p.signal = null;
    call_rcu(p, __delayed_free_task);
    return retval;
  }
  retval = yield* copy_signal(clone_flags, p);
  if (retval < 0) {
    yield* abandon_task(p, clone_flags);
    return retval;
  }
  retval = yield* copy_mm(clone_flags, p);
  if (retval < 0) {
    yield* abandon_task(p, clone_flags);
    return retval;
  }
  alloc_pid(p, args);
  const signal = p.signal;
  assert(signal !== null, 'copy_signal() gave the task a signal_struct');
  if ((clone_flags & CLONE_THREAD) !== 0) {
    p.group_leader = parent.group_leader;
    p.tgid = parent.tgid;
  } else {
    p.group_leader = p;
    p.tgid = p.pid;
  }
  const tasklist_lock = processGlobals().tasklist_lock;
  yield* spin_lock(tasklist_lock);
  if ((clone_flags & (CLONE_PARENT | CLONE_THREAD)) !== 0) {
    p.real_parent = parent.real_parent;
  } else {
    p.real_parent = parent;
  }
  const siglock = (parent.signal as signal_struct).siglock;
  yield* spin_lock(siglock);
  if (parent.sigkill === 1) {
    // A kill ends fork in the middle: the child is never seen.
    spin_unlock(siglock);
    spin_unlock(tasklist_lock);
    free_pid(p);
    const mm = p.mm;
    if (mm !== null) {
      p.mm = null;
      p.active_mm = null;
      yield* mmput(mm);
    }
    yield* abandon_task(p, clone_flags);
    return -EINTR;
  }
  if ((clone_flags & CLONE_THREAD) !== 0) {
    signal.nr_threads = signal.nr_threads + 1;
    signal.live = signal.live + 1;
    signal.sigcnt = signal.sigcnt + 1;
  }
  spin_unlock(siglock);
  spin_unlock(tasklist_lock);
  trace_task_newtask({ pid: p.pid, comm: textOf(p.comm), clone_flags });
  return p;
}

/** kernel/sched/core.c: wake_up_new_task() v6.18: from here on the child runs. */
function wake_up_new_task(p: task_struct): void {
  taskBlock(p.sim_id).context = p;
}

/** kernel/fork.c: complete_vfork_done() v6.18. */
export function* complete_vfork_done(tsk: task_struct): K {
  yield* task_lock(tsk);
  const vfork = tsk.vfork_done;
  if (vfork !== null) {
    tsk.vfork_done = null;
    complete(vfork);
  }
  task_unlock(tsk);
}

/** kernel/fork.c: mm_release() v6.18: the task no longer uses the address space of its vfork() parent. */
export function* mm_release(tsk: task_struct): K {
  if (tsk.vfork_done !== null) {
    yield* complete_vfork_done(tsk);
  }
}

/**
 * kernel/fork.c: kernel_clone() v6.18: creates a task and starts it. Returns the number of the machine's
 * task (the pid, unless a recording dictates another) or a negative errno. With CLONE_VFORK it returns
 * only when the child has exec'ed or exited.
 */
export function* kernel_clone(args: kernel_clone_args): K<number> {
  const p = yield* copy_process(args);
  if (typeof p === 'number') {
    return p;
  }
  const nr = p.sim_id;
  // Linux has the completion on the stack of the parent.
  const vfork = (args.flags & CLONE_VFORK) === 0 ? null : completion_cachep.alloc();
  if (vfork !== null) {
    p.vfork_done = vfork;
    p.usage = p.usage + 1;
  }
  wake_up_new_task(p);
  if (vfork !== null) {
    const killed = yield* wait_for_completion_killable(vfork);
    if (killed) {
      yield* task_lock(p);
      p.vfork_done = null;
      task_unlock(p);
    }
    put_task_struct(p);
    completion_cachep.free(vfork);
  }
  return nr;
}
