/**
 * mm/vma_init.c v6.18: allocation of vm_area_struct. The slab is typesafe by RCU: a freed VMA may be
 * looked at by lock_vma_under_rcu(), and may come back as another VMA meanwhile. Fidelity: dup.
 */
import { INIT_LIST_HEAD } from '../lib/list.ts';
import { rb_clear_node } from '../lib/rbtree.ts';
import { type mm_struct, vm_area_cachep, type vm_area_struct } from '../mm_types.ts';
import { should_failslab } from './failslab.ts';
import { VM_OPS_NONE } from './mm.ts';
import { vma_assert_detached, vma_lock_init } from './mmap_lock.ts';

/** mm/vma_init.c: vm_area_alloc() v6.18, with vma_init(). null: no memory. */
export function vm_area_alloc(mm: mm_struct): vm_area_struct | null {
  if (should_failslab()) {
    return null;
  }
  const vma = vm_area_cachep.alloc();
  vma.vm_mm = mm;
  vma.vm_start = 0;
  vma.vm_end = 0;
  vma.vm_flags = 0;
  vma.vm_page_prot = 0;
  vma.vm_pgoff = 0;
  vma.vm_file = null;
  vma.vm_private_data = 0;
  vma.anon_vma = null;
  vma.vm_ops = VM_OPS_NONE;
  INIT_LIST_HEAD(vma.anon_vma_chain);
  rb_clear_node(vma.vm_rb);
  vma_lock_init(vma, true);
  return vma;
}

/**
 * mm/vma_init.c: vm_area_dup() v6.18: a detached copy with an empty chain. The anon_vma pointer is copied:
 * the caller clones the chain or clears it.
 */
export function vm_area_dup(orig: vm_area_struct): vm_area_struct | null {
  if (should_failslab()) {
    return null;
  }
  const vma = vm_area_cachep.alloc();
  vma.vm_mm = orig.vm_mm;
  vma.vm_ops = orig.vm_ops;
  vma.vm_start = orig.vm_start;
  vma.vm_end = orig.vm_end;
  vma.anon_vma = orig.anon_vma;
  vma.vm_pgoff = orig.vm_pgoff;
  vma.vm_file = orig.vm_file;
  vma.vm_private_data = orig.vm_private_data;
  vma.vm_flags = orig.vm_flags;
  vma.vm_page_prot = orig.vm_page_prot;
  rb_clear_node(vma.vm_rb);
  vma_lock_init(vma, true);
  INIT_LIST_HEAD(vma.anon_vma_chain);
  return vma;
}

/** mm/vma_init.c: vm_area_free() v6.18. Preconditions: detached. */
export function vm_area_free(vma: vm_area_struct): void {
  vma_assert_detached(vma);
  vm_area_cachep.free(vma);
}
