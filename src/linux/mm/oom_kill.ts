/**
 * mm/oom_kill.c v6.18: when nothing can be reclaimed: which process is killed for its memory, and how its
 * memory comes back.
 *
 * Lock tree: task->alloc_lock; the reaper takes mmap_lock (read, trylock). Whoever runs out of memory may hold
 * mmap_lock, VMA locks and folio locks; oom_lock is not modelled. Fidelity: dup for the choice (no
 * oom_score_adj, no init process, no memory cgroups). Custom: a victim that is in user space has no code to
 * run, so that the task in need takes it through do_exit() in its own steps; a victim inside the kernel is
 * reaped by the task in need, in place of the oom_reaper, and exits when it is scheduled.
 */
import { textOf } from '../../sim/text.ts';
import type { K } from '../../sim/wait.ts';
import { current } from '../kernel/current.ts';
import { allTasks, claimIdleThread, do_exit, putDeadTask } from '../kernel/exit.ts';
import { task_lock, task_unlock } from '../kernel/fork.ts';
import { mmdrop, mmgrab } from '../kernel/mm_count.ts';
import { EXIT_DEAD, PF_EXITING, PF_KTHREAD, SIGKILL, SIGNAL_GROUP_EXIT } from '../kernel/sched.ts';
import type { mm_struct, signal_struct, task_struct } from '../mm_types.ts';
import { unmap_page_range } from './memory_zap.ts';
import {
  MMF_OOM_SKIP,
  MMF_UNSTABLE,
  PAGE_SIZE,
  VM_PFNMAP,
  VM_SHARED,
  vma_is_anonymous,
} from './mm.ts';
import { mmap_read_trylock, mmap_read_unlock } from './mmap_lock.ts';
import { tlb_finish_mmu, tlb_gather_mmu } from './mmu_gather.ts';
import { NODE_DATA } from './node.ts';
import { get_nr_swap_pages } from './swapfile.ts';
import { vmaTreeLast, vmaTreePrev } from './vma_tree.ts';
import {
  trace_mark_victim,
  trace_oom_kill_process,
  trace_skip_task_reaping,
  trace_start_task_reaping,
} from './vmscan_events.ts';
import { nr_free_pages } from './watermark.ts';

const same_thread_group = (a: task_struct, b: task_struct): boolean => a.signal === b.signal;

/** for_each_process(): the leaders, oldest first. */
function processes(): task_struct[] {
  return allTasks().filter((t) => t.group_leader === t && t.exit_state !== EXIT_DEAD);
}

/** for_each_thread(). */
function threads(p: task_struct): task_struct[] {
  return allTasks().filter((t) => same_thread_group(t, p) && t.exit_state !== EXIT_DEAD);
}

/** mm/oom_kill.c: find_lock_task_mm() v6.18, without the lock: a thread of the process that still has its mm. */
function find_task_mm(p: task_struct): task_struct | null {
  return [p, ...threads(p)].find((t) => t.mm !== null) ?? null;
}

/** mm/oom_kill.c: process_shares_mm() v6.18. */
const process_shares_mm = (p: task_struct, mm: mm_struct): boolean => find_task_mm(p)?.mm === mm;

/** include/linux/sched/mm.h: in_vfork() v6.18: it borrows its parent's address space. */
function in_vfork(tsk: task_struct): boolean {
  return tsk.vfork_done !== null && tsk.real_parent?.mm === tsk.mm;
}

/** mm/oom_kill.c: oom_badness() v6.18 without oom_score_adj; null: cannot be killed, or not worth it. Atomic. */
export function oom_badness(task: task_struct): number | null {
  if ((task.flags & PF_KTHREAD) !== 0) {
    return null;
  }
  const p = find_task_mm(task);
  const mm = p?.mm ?? null;
  if (p === null || mm === null || (mm.flags & MMF_OOM_SKIP) !== 0 || in_vfork(p)) {
    return null;
  }
  const rss = mm.rss_anon + mm.rss_file + mm.rss_shmem;
  return rss + mm.rss_swap + Math.floor(mm.pgtables_bytes / PAGE_SIZE);
}

/** Whom select_bad_process() found: nobody, a victim that is still dying, or a process and its points. */
type Choice = 'none' | 'dying' | { readonly task: task_struct; readonly points: number };

/** mm/oom_kill.c: select_bad_process() and oom_evaluate_task() v6.18. Atomic: Linux holds the RCU read lock. */
function select_bad_process(): Choice {
  let chosen: Choice = 'none';
  for (const task of processes()) {
    const signal = task.signal as signal_struct;
    if (signal.oom_victim === 1) {
      const mm = find_task_mm(task)?.mm ?? null;
      if (mm === null || (mm.flags & MMF_OOM_SKIP) !== 0) {
        continue;
      }
      return 'dying';
    }
    // oom_task_origin(): swapoff, which is what the memory is wanted for.
    const origin = signal.oom_flag_origin === 1;
    const points = origin ? Number.MAX_SAFE_INTEGER : oom_badness(task);
    if (points !== null && (typeof chosen === 'string' || points >= chosen.points)) {
      chosen = { task, points };
    }
  }
  return chosen;
}

/** mm/oom_kill.c: mark_oom_victim() v6.18. */
function mark_oom_victim(tsk: task_struct): void {
  const signal = tsk.signal as signal_struct;
  const mm = tsk.mm;
  if (signal.oom_victim === 1 || mm === null) {
    return;
  }
  signal.oom_victim = 1;
  trace_mark_victim({
    pid: tsk.pid,
    comm: textOf(tsk.comm),
    total_vm: mm.total_vm * 4,
    anon_rss: mm.rss_anon * 4,
    file_rss: mm.rss_file * 4,
    shmem_rss: mm.rss_shmem * 4,
    pgtables: Math.floor(mm.pgtables_bytes / 1024),
  });
}

/** SIGKILL to a process (kernel/signal.c: complete_signal()): all its threads are to die. */
function killProcess(p: task_struct): void {
  const signal = p.signal as signal_struct;
  if ((signal.flags & SIGNAL_GROUP_EXIT) === 0) {
    signal.flags = SIGNAL_GROUP_EXIT;
    signal.group_exit_code = SIGKILL;
  }
  for (const thread of threads(p)) {
    if (thread.exit_state === 0) {
      thread.sigkill = 1;
    }
  }
}

/** mm/oom_kill.c: __task_will_free_mem() v6.18: the process is dying; of one with several threads one may exit alone. */
function __task_will_free_mem(task: task_struct): boolean {
  const signal = task.signal as signal_struct;
  if ((signal.flags & SIGNAL_GROUP_EXIT) !== 0) {
    return true;
  }
  return (task.flags & PF_EXITING) !== 0 && threads(task).every((t) => t === task);
}

/** mm/oom_kill.c: task_will_free_mem() v6.18: it and all who share its memory are dying anyway. */
function task_will_free_mem(task: task_struct): boolean {
  const mm = task.mm;
  if (mm === null || !__task_will_free_mem(task) || (mm.flags & MMF_OOM_SKIP) !== 0) {
    return false;
  }
  return processes().every(
    (p) => same_thread_group(p, task) || !process_shares_mm(p, mm) || __task_will_free_mem(p),
  );
}

/** mm/oom_kill.c: __oom_kill_process() v6.18: the signal and the reserves; returns the address space that is to go. */
function* __oom_kill_process(victim: task_struct): K<mm_struct | null> {
  const p = find_task_mm(victim);
  if (p === null) {
    return null;
  }
  yield* task_lock(p);
  const mm = p.mm;
  if (mm === null) {
    task_unlock(p);
    return null;
  }
  killProcess(p);
  mark_oom_victim(p);
  task_unlock(p);
  for (const other of processes()) {
    if (process_shares_mm(other, mm) && !same_thread_group(other, p)) {
      // They get no reserves, but none of them may keep the memory.
      killProcess(other);
    }
  }
  return mm;
}

/**
 * mm/oom_kill.c: __oom_reap_task_mm() v6.18: unmaps what is private, from the top. Preconditions: mmap_lock held
 * for read.
 */
function* __oom_reap_task_mm(mm: mm_struct): K {
  mm.flags = mm.flags | MMF_UNSTABLE;
  let vma = vmaTreeLast(mm);
  while (vma !== null) {
    const private_memory = vma_is_anonymous(vma) || (vma.vm_flags & VM_SHARED) === 0;
    if (private_memory && (vma.vm_flags & VM_PFNMAP) === 0) {
      const tlb = tlb_gather_mmu(mm);
      yield* unmap_page_range(tlb, vma, vma.vm_start, vma.vm_end, null);
      yield* tlb_finish_mmu(tlb);
    }
    vma = vmaTreePrev(vma);
  }
}

/** mm/oom_kill.c: oom_reap_task() and oom_reap_task_mm() v6.18, with a single try for mmap_lock. */
function* oom_reap_task(pid: number, mm: mm_struct): K {
  if (mmap_read_trylock(mm)) {
    if ((mm.flags & MMF_OOM_SKIP) === 0) {
      trace_start_task_reaping({ pid });
      yield* __oom_reap_task_mm(mm);
    } else {
      trace_skip_task_reaping({ pid });
    }
    mmap_read_unlock(mm);
  } else {
    trace_skip_task_reaping({ pid });
  }
  // Reaped or not: nobody waits for this one any more.
  mm.flags = mm.flags | MMF_OOM_SKIP;
}

/** Takes threads that were told to die while they are in user space through do_exit(). */
function* exitIdleVictims(): K {
  for (const leader of processes()) {
    if (__task_will_free_mem(leader)) {
      let thread = claimIdleThread(leader, true);
      while (thread !== null) {
        yield* do_exit(thread, SIGKILL);
        putDeadTask(thread);
        thread = claimIdleThread(leader, true);
      }
    }
  }
}

/** A process that is being killed and has not let go of its memory; the running task's own aside. */
function unreaped(): { pid: number; mm: mm_struct } | null {
  const mine = current().mm;
  for (const leader of processes()) {
    const mm = find_task_mm(leader)?.mm ?? null;
    if (
      mm !== null &&
      mm !== mine &&
      __task_will_free_mem(leader) &&
      (mm.flags & MMF_OOM_SKIP) === 0
    ) {
      return { pid: leader.pid, mm };
    }
  }
  return null;
}

/**
 * mm/oom_kill.c: out_of_memory(), oom_kill_process() v6.18. False: there is nobody to kill (Linux panics; here
 * the allocation fails). True: try again.
 */
export function* out_of_memory(): K<boolean> {
  const self = current();
  if (task_will_free_mem(self)) {
    mark_oom_victim(self);
    return true;
  }
  const choice = select_bad_process();
  if (choice === 'none') {
    return false;
  }
  if (choice !== 'dying') {
    const victim = choice.task;
    trace_oom_kill_process({
      pid: victim.pid,
      comm: textOf(victim.comm),
      badness: choice.points,
      free: nr_free_pages(),
      min_wmark: NODE_DATA().watermark_min,
      swap_free: get_nr_swap_pages(),
      by: textOf(self.comm),
    });
    if (task_will_free_mem(victim)) {
      mark_oom_victim(victim);
    } else {
      yield* __oom_kill_process(victim);
    }
  }
  yield* exitIdleVictims();
  const left = unreaped();
  if (left !== null) {
    // It is in the kernel, where it may be waiting for a lock of ours.
    mmgrab(left.mm);
    yield* oom_reap_task(left.pid, left.mm);
    yield* mmdrop(left.mm);
  }
  return true;
}
