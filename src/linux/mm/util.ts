/**
 * mm/util.c, mm/mmap.c, mm/mlock.c v6.18: limits and accounting. Overcommit is the heuristic mode (0): only
 * a single request larger than all RAM and swap is refused. Resource limits are unlimited but the
 * stack's, and every task has CAP_IPC_LOCK. Fidelity: dup within that.
 */
import { read_heap } from '../../sim/cpu.ts';
import { ENOMEM } from '../errno.ts';
import { type mm_struct, type vma_globals, vma_globals_cachep } from '../mm_types.ts';
import { ROOT_VMA, rootAt, setRoot } from '../roots.ts';
import {
  DEFAULT_MAX_MAP_COUNT,
  is_data_mapping,
  is_exec_mapping,
  is_stack_mapping,
  pages_of,
  RLIM_INFINITY,
} from './mm.ts';

/** What the recorder's RAM and swap come to; boot may set another. */
const DEFAULT_COMMIT_LIMIT = 16 * 2 ** 18;

/** rlimit(): unlimited, except 8 MiB of stack. */
export const RLIMIT_STACK = 8 * 2 ** 20;
export const RLIMIT_AS = RLIM_INFINITY;
export const RLIMIT_DATA = RLIM_INFINITY;

/** Global variables of this side, made at first use. */
export function vmaGlobals(): vma_globals {
  if (read_heap(ROOT_VMA) === 0) {
    const made = vma_globals_cachep.alloc();
    made.commit_limit = DEFAULT_COMMIT_LIMIT;
    made.max_map_count = DEFAULT_MAX_MAP_COUNT;
    setRoot(ROOT_VMA, made);
  }
  return rootAt(ROOT_VMA) as vma_globals;
}

/** vm.max_map_count: about how many VMAs an address space may have. */
export function sysctl_max_map_count(): number {
  return vmaGlobals().max_map_count;
}

export function vm_acct_memory(pages: number): void {
  const globals = vmaGlobals();
  globals.vm_committed_as = globals.vm_committed_as + pages;
}

export function vm_unacct_memory(pages: number): void {
  vm_acct_memory(-pages);
}

/**
 * mm/util.c: __vm_enough_memory() v6.18 by way of security_vm_enough_memory_mm(): charges `pages` or returns
 * -ENOMEM.
 */
export function security_vm_enough_memory_mm(_mm: mm_struct, pages: number): number {
  vm_acct_memory(pages);
  if (pages > vmaGlobals().commit_limit) {
    vm_unacct_memory(pages);
    return -ENOMEM;
  }
  return 0;
}

/** mm/mmap.c: may_expand_vm() v6.18. */
export function may_expand_vm(mm: mm_struct, vm_flags: number, npages: number): boolean {
  if (mm.total_vm + npages > pages_of(RLIMIT_AS)) {
    return false;
  }
  return !(is_data_mapping(vm_flags) && mm.data_vm + npages > pages_of(RLIMIT_DATA));
}

/** mm/mmap.c: vm_stat_account() v6.18. */
export function vm_stat_account(mm: mm_struct, vm_flags: number, npages: number): void {
  mm.total_vm = mm.total_vm + npages;
  if (is_exec_mapping(vm_flags)) {
    mm.exec_vm = mm.exec_vm + npages;
  } else if (is_stack_mapping(vm_flags)) {
    mm.stack_vm = mm.stack_vm + npages;
  } else if (is_data_mapping(vm_flags)) {
    mm.data_vm = mm.data_vm + npages;
  }
}

/** mm/mmap.c: mlock_future_ok() v6.18: CAP_IPC_LOCK has no limit. */
export function mlock_future_ok(_mm: mm_struct, _vm_flags: number, _bytes: number): boolean {
  return true;
}

/** mm/mlock.c: can_do_mlock() v6.18. */
export function can_do_mlock(): boolean {
  return true;
}
