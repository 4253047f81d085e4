/**
 * Where the kernel's global variables are: fixed heap words of the allocator granule (sim/struct.ts)
 * hold the granules of the objects that boot allocates. Words 0..5 are sim's own.
 */
import { assert } from '../base/assert.ts';
import { cpu, read_heap, write_heap } from '../sim/cpu.ts';
import { GRANULE, type Obj } from '../sim/struct.ts';
import { type process_globals, process_globals_cachep } from './mm_types.ts';

/** Heap words: process side, VMA side, page side, KSM and the kernels before 2.4.1 (set at their first use), and spare. */
export const ROOT_PROCESS = 8;
export const ROOT_VMA = 9;
export const ROOT_PAGE = 10;
export const ROOT_KSM = 11;
export const ROOT_EARLY24 = 12;
export const ROOT_KHUGEPAGED = 13;

/** Makes `object` the root of one side. Boot only. */
export function setRoot(word: number, object: Obj): void {
  write_heap(word, object.addr / GRANULE);
}

/** The root object of one side; the caller knows its type. */
export function rootAt(word: number): Obj {
  const object = cpu.handles[read_heap(word)] as Obj | null | undefined;
  assert(object !== null && object !== undefined, `no root object in heap word ${word}`);
  return object;
}

/** Whether the object of that side was made. */
export function hasRoot(word: number): boolean {
  return read_heap(word) !== 0;
}

/** Global variables of kernel/ and fs/. */
export function processGlobals(): process_globals {
  const object = rootAt(ROOT_PROCESS);
  assert(process_globals_cachep.isInstance(object), 'the process root is of another type');
  return object;
}
