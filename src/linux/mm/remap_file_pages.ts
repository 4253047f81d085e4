/**
 * mm/mmap.c v6.18: remap_file_pages(2), which since 4.0 makes ordinary mappings in place of nonlinear ones.
 *
 * Lock tree: mmap_lock (read, then write). Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { EINTR, EINVAL } from '../errno.ts';
import { fput, get_file } from '../fs/file_table.ts';
import { current_mm } from '../kernel/current.ts';
import type { file, mm_struct, vm_area_struct } from '../mm_types.ts';
import { mm_populate } from './gup.ts';
import {
  MAP_FIXED,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_POPULATE,
  MAP_SHARED,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  VM_EXEC,
  VM_LOCKED,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from './mm.ts';
import { do_mmap, type populate_request } from './mmap.ts';
import {
  mmap_read_lock_killable,
  mmap_read_unlock,
  mmap_write_lock_killable,
  mmap_write_unlock,
} from './mmap_lock.ts';
import { vma_lookup, vmaTreeNext } from './vma_tree.ts';

const PAGE_MASKED = (value: number): number => value - (value % PAGE_SIZE);

/** Whether [vma, end) is mapped without a hole, all of it as `vma` is: same file, same flags. */
function reaches(vma: vm_area_struct, end: number): boolean {
  let prev = vma;
  while (prev.vm_end < end) {
    const next = vmaTreeNext(prev);
    if (next === null || next.vm_start !== prev.vm_end) {
      return false;
    }
    if (next.vm_file !== vma.vm_file || next.vm_flags !== vma.vm_flags) {
      return false;
    }
    prev = next;
  }
  return true;
}

/** The part of remap_file_pages() under mmap_lock for write: the checks made anew, and the mapping. */
function* remapLocked(
  mm: mm_struct,
  file: file,
  vm_flags: number,
  start: number,
  size: number,
  prot: number,
  flags: number,
  pgoff: number,
  populate: populate_request,
): K<number> {
  const vma = vma_lookup(mm, start);
  if (vma === null) {
    return -EINVAL;
  }
  // Another thread may have changed it while no lock was held.
  if (vma.vm_flags !== vm_flags || vma.vm_file !== file) {
    return -EINVAL;
  }
  if (!reaches(vma, start + size)) {
    return -EINVAL;
  }
  return yield* do_mmap(file, start, size, prot, flags, 0, pgoff, populate);
}

/** mm/mmap.c: remap_file_pages(2) v6.18. 0 or a negative errno. */
export function* remap_file_pages(
  addr: number,
  length: number,
  protection: number,
  pgoff: number,
  map_flags: number,
): K<number> {
  const mm = current_mm();
  if (protection !== 0) {
    return -EINVAL;
  }
  const start = PAGE_MASKED(addr);
  const size = PAGE_MASKED(length);
  if (size === 0 || start + size >= 2 ** 64) {
    return -EINVAL;
  }
  if (pgoff + size / PAGE_SIZE >= 2 ** 64) {
    return -EINVAL;
  }
  if ((yield* mmap_read_lock_killable(mm)) !== 0) {
    return -EINTR;
  }
  const vma = vma_lookup(mm, start);
  if (vma === null || (vma.vm_flags & VM_SHARED) === 0) {
    mmap_read_unlock(mm);
    return -EINVAL;
  }
  let prot = (vma.vm_flags & VM_READ) !== 0 ? PROT_READ : 0;
  prot |= (vma.vm_flags & VM_WRITE) !== 0 ? PROT_WRITE : 0;
  prot |= (vma.vm_flags & VM_EXEC) !== 0 ? PROT_EXEC : 0;
  let flags = (map_flags & MAP_NONBLOCK) | MAP_SHARED | MAP_FIXED | MAP_POPULATE;
  if ((vma.vm_flags & VM_LOCKED) !== 0) {
    flags |= MAP_LOCKED;
  }
  const vm_flags = vma.vm_flags;
  const file = vma.vm_file as file;
  get_file(file);
  mmap_read_unlock(mm);
  if ((yield* mmap_write_lock_killable(mm)) !== 0) {
    fput(file);
    return -EINTR;
  }
  const populate: populate_request = { len: 0 };
  const ret = yield* remapLocked(mm, file, vm_flags, start, size, prot, flags, pgoff, populate);
  mmap_write_unlock(mm);
  fput(file);
  if (populate.len !== 0) {
    yield* mm_populate(ret, populate.len);
  }
  return ret > 0 ? 0 : ret;
}
