/** include/linux/mm_types.h, mmap_lock.h v6.18: numbers of the per-VMA lock, and what its writer waits for. */
import { read_heap } from '../../sim/cpu.ts';
import type { Obj } from '../../sim/struct.ts';
import { waitCondition } from '../../sim/wait.ts';
import { vm_area_cachep } from '../mm_types.ts';

/** Added to vm_refcnt while a writer waits for the readers to leave. */
export const VMA_LOCK_OFFSET = 0x40000000;
/** A reader must not take the count up to this: a writer is there, or the count is about to overflow. */
export const VMA_REF_LIMIT = VMA_LOCK_OFFSET - 1;
export const UINT_MAX = 0xffffffff;

const field = vm_area_cachep.info.fields.find((f) => f.name === 'vm_refcnt');

/** Heap word of vma->vm_refcnt: names the per-VMA lock (vmlock_dep_map) in held locks and events. */
export function vma_lock_word(vma: Obj): number {
  return vma.addr + (field?.offset ?? 0);
}

/** The writer's wait: `at` is the word of vm_refcnt, `arg` the count without readers. */
export const vma_readers_gone = waitCondition(
  'vma readers',
  (_task, at, arg) => read_heap(at) === arg,
);
