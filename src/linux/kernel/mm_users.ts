/**
 * kernel/fork.c v6.18: the life of an mm_struct. mm_users counts who uses the address space, mm_count who
 * needs the struct; all users together hold one mm_count.
 *
 * Fidelity: dup without what the machine does not have (aio, uprobes, user namespaces, cid, notifiers).
 */

import type { K } from '../../sim/wait.ts';
import { fput, get_file } from '../fs/file_table.ts';
import { memory_manager } from '../kernel.ts';
import { VM_BUG_ON } from '../lib/bug.ts';
import { INIT_LIST_HEAD } from '../lib/list.ts';
import { should_failslab } from '../mm/failslab.ts';
import { mm_put_huge_zero_folio } from '../mm/huge_zero.ts';
import { khugepaged_exit } from '../mm/khugepaged_mm.ts';
import { ksm_exit } from '../mm/ksm.ts';
import { MMF_TOPDOWN, MMF_VM_MERGE_ANY, PAGE_SIZE, TASK_SIZE, VM_INIT_DEF_MASK } from '../mm/mm.ts';
import { mmlistRemove } from '../mm/mmlist.ts';
import { mm_alloc_pgd, mm_free_pgd } from '../mm/pgtable.ts';
import { RLIMIT_STACK } from '../mm/util.ts';
import { type file, mm_cachep, type mm_struct } from '../mm_types.ts';
import { processGlobals } from '../roots.ts';
import { current } from './current.ts';
import { might_sleep } from './locking/rwsem.ts';
import { mmdrop } from './mm_count.ts';

/** mmf_init_legacy_flags(): what of mm->flags a new mm takes over. */
const MMF_INIT_LEGACY_MASK = MMF_VM_MERGE_ANY | MMF_TOPDOWN;

export function mmget(mm: mm_struct): void {
  mm.mm_users = mm.mm_users + 1;
}

/**
 * mmget_not_zero(): a reference to an address space that may be on its way out; false once exit_mmap()
 * has begun.
 */
export function mmget_not_zero(mm: mm_struct): boolean {
  if (mm.mm_users === 0) {
    return false;
  }
  mm.mm_users = mm.mm_users + 1;
  return true;
}

/** kernel/fork.c: mm_alloc_id() v6.18, without reuse of numbers. */
function mm_alloc_id(mm: mm_struct): void {
  const globals = processGlobals();
  globals.last_mm_id = globals.last_mm_id + 1;
  mm.mm_id = globals.last_mm_id;
}

/**
 * kernel/fork.c: mm_init() v6.18. The locks and the VMA tree are made by the allocator (all words zero);
 * `mm` may hold copies of another mm's fields. `oldmm` is current->mm.
 */
export function mm_init(mm: mm_struct, oldmm: mm_struct | null): mm_struct {
  mm.mm_users = 1;
  mm.mm_count = 1;
  mm.write_protect_seq = 0;
  mm.mm_lock_seq = 0;
  mm.pgtables_bytes = 0;
  mm.map_count = 0;
  mm.locked_vm = 0;
  mm.pinned_vm = 0;
  mm.rss_file = 0;
  mm.rss_anon = 0;
  mm.rss_shmem = 0;
  mm.rss_swap = 0;
  mm.exe_file = null;
  INIT_LIST_HEAD(mm.mmlist);
  mm.flags = oldmm === null ? 0 : oldmm.flags & MMF_INIT_LEGACY_MASK;
  mm.def_flags = oldmm === null ? 0 : oldmm.def_flags & VM_INIT_DEF_MASK;
  mm_alloc_pgd(mm);
  mm_alloc_id(mm);
  return mm;
}

/** allocate_mm(). null: no memory. */
export function allocate_mm(): mm_struct | null {
  return should_failslab() ? null : mm_cachep.alloc();
}

/** kernel/fork.c: mm_alloc() v6.18: an empty address space. */
export function mm_alloc(): mm_struct | null {
  const mm = allocate_mm();
  if (mm === null) {
    return null;
  }
  mm_init(mm, current().mm);
  if ((memory_manager().mm_alloc?.(mm) ?? 0) !== 0) {
    mm_free_pgd(mm);
    mm_cachep.free(mm);
    return null;
  }
  return mm;
}

/**
 * arch/x86/mm/mmap.c: arch_pick_mmap_layout() v6.18 without address space randomisation: the gap is the
 * stack limit plus the guard gap, at least 128 MiB.
 */
export function arch_pick_mmap_layout(mm: mm_struct): void {
  const gap = Math.max(RLIMIT_STACK + 256 * PAGE_SIZE, 128 * 1024 * 1024);
  mm.task_size = TASK_SIZE;
  mm.flags = mm.flags | MMF_TOPDOWN;
  mm.mmap_base = TASK_SIZE - gap;
  mm.mmap_legacy_base = Math.ceil(TASK_SIZE / 3 / PAGE_SIZE) * PAGE_SIZE;
}

/** kernel/fork.c: set_mm_exe_file() v6.18. */
export function set_mm_exe_file(mm: mm_struct, new_exe_file: file | null): void {
  const old = mm.exe_file;
  mm.exe_file = new_exe_file === null ? null : get_file(new_exe_file);
  if (old !== null) {
    fput(old);
  }
}

/** atomic_dec_and_test(&mm->mm_users). */
function mm_users_dec_and_test(mm: mm_struct): boolean {
  mm.mm_users = mm.mm_users - 1;
  return mm.mm_users === 0;
}

/** kernel/fork.c: __mmput() v6.18: the last user has gone. */
export function* __mmput(mm: mm_struct): K {
  VM_BUG_ON(mm.mm_users !== 0, 'atomic_read(&mm->mm_users)');
  yield* ksm_exit(mm);
  yield* khugepaged_exit(mm);
  yield* memory_manager().exit_mmap(mm);
  mm_put_huge_zero_folio(mm);
  set_mm_exe_file(mm, null);
  mmlistRemove(mm);
  yield* mmdrop(mm);
}

/** kernel/fork.c: mmput() v6.18. Sleeps. */
export function* mmput(mm: mm_struct): K {
  might_sleep('mmput()');
  if (mm_users_dec_and_test(mm)) {
    yield* __mmput(mm);
  }
}
