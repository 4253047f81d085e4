/**
 * mm/vma.c and mm/mmap.c v6.18: vm_page_prot, and whether a shared mapping must see first writes.
 * Fidelity: dup.
 */
import { vm_get_page_prot } from '../arch/x86/mm/pgprot.ts';
import type { vm_area_struct } from '../mm_types.ts';
import { FS_DISK, VM_OPS_FILE, VM_PFNMAP, VM_SHARED, VM_WRITE } from './mm.ts';

/** vm_ops has page_mkwrite(): every disk file system's. */
function vm_ops_needs_writenotify(vma: vm_area_struct): boolean {
  return vma.vm_ops === VM_OPS_FILE;
}

function vma_is_shared_writable(vma: vm_area_struct): boolean {
  return (vma.vm_flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED);
}

/** mm/vma.c: vma_fs_can_writeback() v6.18: tmpfs pages have nowhere to be written back to. */
function vma_fs_can_writeback(vma: vm_area_struct): boolean {
  if ((vma.vm_flags & VM_PFNMAP) !== 0) {
    return false;
  }
  const inode = vma.vm_file?.f_mapping?.host ?? null;
  return inode !== null && inode.i_kind === FS_DISK;
}

/** mm/vma.c: vma_needs_dirty_tracking() v6.18. */
export function vma_needs_dirty_tracking(vma: vm_area_struct): boolean {
  if (!vma_is_shared_writable(vma)) {
    return false;
  }
  return vm_ops_needs_writenotify(vma) || vma_fs_can_writeback(vma);
}

/** mm/vma.c: vma_wants_writenotify() v6.18, without soft-dirty and userfaultfd. */
export function vma_wants_writenotify(vma: vm_area_struct): boolean {
  return vma_needs_dirty_tracking(vma);
}

/** mm/mmap.c: vma_set_page_prot() v6.18: a page of a write-notified mapping is mapped read-only at first. */
export function vma_set_page_prot(vma: vm_area_struct): void {
  const prot = vm_get_page_prot(vma.vm_flags);
  vma.vm_page_prot = vma_wants_writenotify(vma)
    ? vm_get_page_prot(vma.vm_flags & ~VM_SHARED)
    : prot;
}
