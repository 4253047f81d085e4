/**
 * mm/vma.c v6.18, the part that links VMAs into the i_mmap tree of their file, with i_mmap_lock_*() and
 * mapping_*_writable() of include/linux/fs.h. A file of its own because free_pgtables() needs it too.
 *
 * Lock tree: mmap_lock -> vma_start_write() -> mapping->i_mmap_rwsem -> anon_vma root. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import { EPERM } from '../errno.ts';
import { lockdep_assert_held_write } from '../kernel/locking/lockdep.ts';
import { down_read, down_write, up_read, up_write } from '../kernel/locking/rwsem.ts';
import { VM_WARN_ON_ONCE } from '../lib/bug.ts';
import type { address_space, vm_area_struct } from '../mm_types.ts';
import { vma_interval_tree_insert, vma_interval_tree_remove } from './interval_tree.ts';
import { is_shared_maywrite } from './mm.ts';

/** include/linux/fs.h: i_mmap_lock_write() v6.18. */
export function* i_mmap_lock_write(mapping: address_space): K {
  yield* down_write(mapping.i_mmap_rwsem);
}

export function i_mmap_unlock_write(mapping: address_space): void {
  up_write(mapping.i_mmap_rwsem);
}

/** include/linux/fs.h: i_mmap_lock_read() v6.18. */
export function* i_mmap_lock_read(mapping: address_space): K {
  yield* down_read(mapping.i_mmap_rwsem);
}

export function i_mmap_unlock_read(mapping: address_space): void {
  up_read(mapping.i_mmap_rwsem);
}

/** include/linux/fs.h: mapping_map_writable() v6.18: refused while the file is write-sealed. */
export function mapping_map_writable(mapping: address_space): number {
  if (mapping.i_mmap_writable < 0) {
    return -EPERM;
  }
  mapping.i_mmap_writable = mapping.i_mmap_writable + 1;
  return 0;
}

export function mapping_unmap_writable(mapping: address_space): void {
  mapping.i_mmap_writable = mapping.i_mmap_writable - 1;
}

export function mapping_allow_writable(mapping: address_space): void {
  mapping.i_mmap_writable = mapping.i_mmap_writable + 1;
}

/** mm/vma.c: __vma_link_file() v6.18. Preconditions: i_mmap_rwsem held for write. */
export function __vma_link_file(vma: vm_area_struct, mapping: address_space): void {
  lockdep_assert_held_write(mapping.i_mmap_rwsem, 'i_mmap_rwsem');
  if (is_shared_maywrite(vma.vm_flags)) {
    mapping_allow_writable(mapping);
  }
  vma_interval_tree_insert(vma, mapping.i_mmap);
}

/** mm/vma.c: __remove_shared_vm_struct() v6.18. Preconditions: i_mmap_rwsem held for write. */
export function __remove_shared_vm_struct(vma: vm_area_struct, mapping: address_space): void {
  lockdep_assert_held_write(mapping.i_mmap_rwsem, 'i_mmap_rwsem');
  if (is_shared_maywrite(vma.vm_flags)) {
    mapping_unmap_writable(mapping);
  }
  vma_interval_tree_remove(vma, mapping.i_mmap);
}

/** The mapping of the VMA's file, or null. */
export function vma_mapping(vma: vm_area_struct): address_space | null {
  return vma.vm_file === null ? null : vma.vm_file.f_mapping;
}

/** mm/vma.c: vma_link_file() v6.18. */
export function* vma_link_file(vma: vm_area_struct): K {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    yield* i_mmap_lock_write(mapping);
    __vma_link_file(vma, mapping);
    i_mmap_unlock_write(mapping);
  }
}

/** struct unlink_vma_file_batch: VMAs of one file that leave its tree under one hold of i_mmap_rwsem. */
export interface unlink_vma_file_batch {
  readonly vmas: vm_area_struct[];
}

const BATCH = 8;

/** mm/vma.c: unlink_file_vma_batch_init() v6.18. */
export function unlink_file_vma_batch_init(): unlink_vma_file_batch {
  return { vmas: [] };
}

/** mm/vma.c: unlink_file_vma_batch_process() v6.18. */
function* unlink_file_vma_batch_process(vb: unlink_vma_file_batch): K {
  const first = vb.vmas[0];
  const mapping = first === undefined ? null : vma_mapping(first);
  if (mapping === null) {
    return;
  }
  yield* i_mmap_lock_write(mapping);
  for (const vma of vb.vmas) {
    VM_WARN_ON_ONCE(vma_mapping(vma) !== mapping, 'vma->vm_file->f_mapping != mapping');
    __remove_shared_vm_struct(vma, mapping);
  }
  i_mmap_unlock_write(mapping);
  vb.vmas.length = 0;
}

/** mm/vma.c: unlink_file_vma_batch_add() v6.18. */
export function* unlink_file_vma_batch_add(vb: unlink_vma_file_batch, vma: vm_area_struct): K {
  if (vma.vm_file === null) {
    return;
  }
  const first = vb.vmas[0];
  if (first !== undefined && (first.vm_file !== vma.vm_file || vb.vmas.length === BATCH)) {
    yield* unlink_file_vma_batch_process(vb);
  }
  vb.vmas.push(vma);
}

/** mm/vma.c: unlink_file_vma_batch_final() v6.18. */
export function* unlink_file_vma_batch_final(vb: unlink_vma_file_batch): K {
  if (vb.vmas.length > 0) {
    yield* unlink_file_vma_batch_process(vb);
  }
}

/** mm/vma.c: unlink_file_vma() v6.18: hides the VMA from file walks before its tables are freed. */
export function* unlink_file_vma(vma: vm_area_struct): K {
  const mapping = vma_mapping(vma);
  if (mapping !== null) {
    yield* i_mmap_lock_write(mapping);
    __remove_shared_vm_struct(vma, mapping);
    i_mmap_unlock_write(mapping);
  }
}
