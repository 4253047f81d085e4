/**
 * struct vm_operations_struct v6.18 of the file kinds that exist: which functions vma->vm_ops->fault,
 * map_pages and page_mkwrite are. Fidelity: dup.
 */
import type { K } from '../../sim/wait.ts';
import type { vm_area_struct } from '../mm_types.ts';
import { filemap_fault, filemap_map_pages, filemap_page_mkwrite } from './filemap.ts';
import { VM_OPS_FILE, VM_OPS_SHMEM, VM_OPS_SHMEM_ANON } from './mm.ts';
import { shmem_fault } from './shmem.ts';
import { VM_FAULT_SIGBUS, type vm_fault } from './vm_fault.ts';

/** vma->vm_ops->fault(). */
export function* vm_ops_fault(vmf: vm_fault): K<number> {
  switch (vmf.vma.vm_ops) {
    case VM_OPS_FILE:
      return yield* filemap_fault(vmf);
    case VM_OPS_SHMEM:
    case VM_OPS_SHMEM_ANON:
      return yield* shmem_fault(vmf);
    default:
      return VM_FAULT_SIGBUS;
  }
}

/** vma->vm_ops->map_pages(). */
export function* vm_ops_map_pages(vmf: vm_fault, start: number, end: number): K<number> {
  return yield* filemap_map_pages(vmf, start, end);
}

/** Whether vma->vm_ops->map_pages exists. */
export function has_map_pages(vma: vm_area_struct): boolean {
  return (
    vma.vm_ops === VM_OPS_FILE || vma.vm_ops === VM_OPS_SHMEM || vma.vm_ops === VM_OPS_SHMEM_ANON
  );
}

/** Whether vma->vm_ops->page_mkwrite exists: the file system wants to know of the first write to a page. */
export function has_page_mkwrite(vma: vm_area_struct): boolean {
  return vma.vm_ops === VM_OPS_FILE;
}

/** vma->vm_ops->page_mkwrite(). */
export function* vm_ops_page_mkwrite(vmf: vm_fault): K<number> {
  return yield* filemap_page_mkwrite(vmf);
}
