/**
 * include/linux/mm.h: release_fault_lock(); mm/memory.c: vmf_anon_prepare(), vmf_can_call_fault();
 * mm/internal.h: maybe_unlock_mmap_for_io(); mm/filemap.c: folio_lock_or_retry(), v6.18: what a fault does
 * about the lock it came in under: the VMA's read lock (FAULT_FLAG_VMA_LOCK) or mmap_lock for read.
 * Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { get_file } from '../fs/file_table.ts';
import { anon_rmap } from '../kernel.ts';
import type { file, folio, mm_struct } from '../mm_types.ts';
import { folio_lock, folio_trylock, folio_wait_locked } from './folio_lock.ts';
import { VM_OPS_NONE, VM_OPS_SPECIAL } from './mm.ts';
import { mmap_read_trylock, mmap_read_unlock, vma_end_read } from './mmap_lock.ts';
import {
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_VMA_LOCK,
  fault_flag_allow_retry_first,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  type vm_fault,
} from './vm_fault.ts';

/** release_fault_lock(). */
export function release_fault_lock(vmf: vm_fault): void {
  if ((vmf.flags & FAULT_FLAG_VMA_LOCK) !== 0) {
    vma_end_read(vmf.vma);
  } else {
    mmap_read_unlock(vmf.vma.vm_mm as mm_struct);
  }
}

/**
 * mm/internal.h: maybe_unlock_mmap_for_io() v6.18: a first try does not hold the fault's lock while it reads.
 * Without the lock the VMA may go, so the file is pinned; null if the lock is still held.
 */
export function maybe_unlock_mmap_for_io(vmf: vm_fault, fpin: file | null): file | null {
  if (fpin !== null) {
    return fpin;
  }
  const flags = vmf.flags;
  if (!fault_flag_allow_retry_first(flags) || (flags & FAULT_FLAG_RETRY_NOWAIT) !== 0) {
    return null;
  }
  const pinned = get_file(vmf.vma.vm_file as file);
  release_fault_lock(vmf);
  return pinned;
}

/** mm/memory.c: vmf_can_call_fault() v6.18: operations without map_pages are not ready for the VMA lock. */
export function vmf_can_call_fault(vmf: vm_fault): number {
  const ops = vmf.vma.vm_ops;
  const has_map_pages = ops !== VM_OPS_NONE && ops !== VM_OPS_SPECIAL;
  if (has_map_pages || (vmf.flags & FAULT_FLAG_VMA_LOCK) === 0) {
    return 0;
  }
  vma_end_read(vmf.vma);
  return VM_FAULT_RETRY;
}

/**
 * mm/memory.c: __vmf_anon_prepare() v6.18. Looking at neighbours for an anon_vma needs mmap_lock, which a
 * fault under the VMA lock may only try for: it comes before the VMA lock in the order.
 */
export function* __vmf_anon_prepare(vmf: vm_fault): K<number> {
  const vma = vmf.vma;
  const mm = vma.vm_mm as mm_struct;
  let ret = 0;
  if (vma.anon_vma !== null) {
    return 0;
  }
  if ((vmf.flags & FAULT_FLAG_VMA_LOCK) !== 0) {
    if (!mmap_read_trylock(mm)) {
      return VM_FAULT_RETRY;
    }
  }
  if ((yield* anon_rmap().anon_vma_prepare(vma)) !== 0) {
    ret = VM_FAULT_OOM;
  }
  if ((vmf.flags & FAULT_FLAG_VMA_LOCK) !== 0) {
    mmap_read_unlock(mm);
  }
  return ret;
}

/** mm/internal.h: vmf_anon_prepare() v6.18: with VM_FAULT_RETRY the VMA lock is already dropped. */
export function* vmf_anon_prepare(vmf: vm_fault): K<number> {
  const ret = yield* __vmf_anon_prepare(vmf);
  if ((ret & VM_FAULT_RETRY) !== 0) {
    vma_end_read(vmf.vma);
  }
  return ret;
}

/**
 * mm/filemap.c: folio_lock_or_retry() and __folio_lock_or_retry() v6.18. A first try does not hold up
 * writers while it waits: it drops the fault's lock, waits and asks for a retry.
 */
export function* folio_lock_or_retry(folio: folio, vmf: vm_fault): K<number> {
  if (folio_trylock(folio)) {
    return 0;
  }
  const flags = vmf.flags;
  if (fault_flag_allow_retry_first(flags)) {
    if ((flags & FAULT_FLAG_RETRY_NOWAIT) !== 0) {
      return VM_FAULT_RETRY;
    }
    release_fault_lock(vmf);
    yield* folio_wait_locked(folio);
    return VM_FAULT_RETRY;
  }
  yield* folio_lock(folio);
  return 0;
}
