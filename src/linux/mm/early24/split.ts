/**
 * The four ways in which mprotect(2), mlock(2) and madvise(2) of v2.4.0 give a part of a VMA other flags: each of mm/mprotect.c,
 * mm/mlock.c and mm/filemap.c has its own copy of these functions (mprotect_fixup_start() and so on), which differ
 * in the new flags only. There is no merging: what was split stays split.
 *
 * Lock tree: mmap_sem -> i_shared_lock -> page_table_lock. Fidelity: dup; one copy of ours.
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { ENOMEM } from '../../errno.ts';
import { get_file } from '../../fs/file_table.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import type { file, mm_struct, vm_area_struct } from '../../mm_types.ts';
import { trace_vma_split } from '../events.ts';
import { PAGE_SIZE } from '../mm.ts';
import { vm_area_dup, vm_area_free } from '../vma_init.ts';
import { __insert_vm_struct, dupAnon } from './mmap.ts';
import { lock_vma_mappings, unlock_vma_mappings } from './share_lists.ts';

/** How a fixup function differs between the system calls. */
export interface fixup_how {
  readonly newflags: number;
  /** madvise(2) takes a reference to the file without looking whether there is one. */
  readonly needs_file: boolean;
}

const pages = (bytes: number): number => bytes / PAGE_SIZE;

function setFlags(vma: vm_area_struct, newflags: number): void {
  vma.vm_flags = newflags;
  vma.vm_page_prot = vm_get_page_prot(newflags);
}

/** get_file() for each of the new VMAs. Of no file: the kernel follows a NULL pointer. */
function getFiles(vma: vm_area_struct, how: fixup_how, count: number): void {
  if (vma.vm_file === null && !how.needs_file) {
    return;
  }
  for (let i = 0; i < count; i++) {
    get_file(vma.vm_file as file);
  }
}

/** mprotect_fixup_start() v2.4.0: [vma->vm_start, end) becomes a VMA of its own. 0 or -ENOMEM. */
export function* fixupStart(vma: vm_area_struct, end: number, how: fixup_how): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const n = vm_area_dup(vma);
  if (n === null) {
    return -ENOMEM;
  }
  n.vm_end = end;
  setFlags(n, how.newflags);
  getFiles(vma, how, 1);
  yield* lock_vma_mappings(vma);
  yield* spin_lock(mm.page_table_lock);
  vma.vm_pgoff = vma.vm_pgoff + pages(end - vma.vm_start);
  vma.vm_start = end;
  __insert_vm_struct(mm, n);
  dupAnon(vma, n);
  spin_unlock(mm.page_table_lock);
  unlock_vma_mappings(vma);
  trace_vma_split({ vma, new_vma: n, addr: end });
  return 0;
}

/** mprotect_fixup_end() v2.4.0: [start, vma->vm_end) becomes a VMA of its own. 0 or -ENOMEM. */
export function* fixupEnd(vma: vm_area_struct, start: number, how: fixup_how): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const n = vm_area_dup(vma);
  if (n === null) {
    return -ENOMEM;
  }
  n.vm_start = start;
  n.vm_pgoff = n.vm_pgoff + pages(start - vma.vm_start);
  setFlags(n, how.newflags);
  getFiles(vma, how, 1);
  yield* lock_vma_mappings(vma);
  yield* spin_lock(mm.page_table_lock);
  vma.vm_end = start;
  __insert_vm_struct(mm, n);
  dupAnon(vma, n);
  spin_unlock(mm.page_table_lock);
  unlock_vma_mappings(vma);
  trace_vma_split({ vma, new_vma: n, addr: start });
  return 0;
}

/** mprotect_fixup_middle() v2.4.0: the VMA keeps [start, end), two new ones get the rest. 0 or -ENOMEM. */
export function* fixupMiddle(
  vma: vm_area_struct,
  start: number,
  end: number,
  how: fixup_how,
): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const left = vm_area_dup(vma);
  if (left === null) {
    return -ENOMEM;
  }
  const right = vm_area_dup(vma);
  if (right === null) {
    vm_area_free(left);
    return -ENOMEM;
  }
  left.vm_end = start;
  right.vm_start = end;
  right.vm_pgoff = right.vm_pgoff + pages(end - left.vm_start);
  getFiles(vma, how, 2);
  yield* lock_vma_mappings(vma);
  yield* spin_lock(mm.page_table_lock);
  vma.vm_pgoff = vma.vm_pgoff + pages(start - vma.vm_start);
  vma.vm_start = start;
  vma.vm_end = end;
  setFlags(vma, how.newflags);
  __insert_vm_struct(mm, left);
  dupAnon(vma, left);
  __insert_vm_struct(mm, right);
  dupAnon(vma, right);
  spin_unlock(mm.page_table_lock);
  unlock_vma_mappings(vma);
  trace_vma_split({ vma: left, new_vma: vma, addr: start });
  trace_vma_split({ vma, new_vma: right, addr: end });
  return 0;
}

/** mprotect_fixup_all() v2.4.0. */
export function* fixupAll(vma: vm_area_struct, how: fixup_how): K<number> {
  const mm = vma.vm_mm as mm_struct;
  yield* spin_lock(mm.page_table_lock);
  setFlags(vma, how.newflags);
  spin_unlock(mm.page_table_lock);
  return 0;
}

/** The choice of mprotect_fixup() v2.4.0 among the four. 0 or -ENOMEM. Preconditions: mmap_sem. */
export function* fixup(vma: vm_area_struct, start: number, end: number, how: fixup_how): K<number> {
  if (start === vma.vm_start) {
    if (end === vma.vm_end) {
      return yield* fixupAll(vma, how);
    }
    return yield* fixupStart(vma, end, how);
  }
  if (end === vma.vm_end) {
    return yield* fixupEnd(vma, start, how);
  }
  return yield* fixupMiddle(vma, start, end, how);
}
