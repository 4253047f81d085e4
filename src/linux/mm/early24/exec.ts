/**
 * fs/exec.c v2.4.0, the half that works on the new stack (mm_ops.exec). The arguments wait in a page that no page table has
 * (bprm->page[]) until the old address space has gone; then the stack is mapped where it stays.
 *
 * Lock tree: mmap_sem -> page_table_lock. Fidelity: dup; the arguments are one page; the VMA is allocated early and keeps that
 * page in vm_private_data, as struct linux_binprm does in Linux.
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { has } from '../../kernel.ts';
import {
  type file,
  mem_map,
  type mm_struct,
  type page,
  type vm_area_struct,
} from '../../mm_types.ts';
import {
  PAGE_SIZE,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYWRITE,
  VM_READ,
  VM_WRITE,
} from '../mm.ts';
import { mmlistRemove } from '../mmlist.ts';
import type { exec_ops } from '../ops.ts';
import {
  mk_pte,
  pte_mkdirty,
  pte_mkwrite,
  pte_mkyoung,
  pte_offset,
  set_pte_at,
} from '../pgtable.ts';
import { anon_page_add } from '../rmap/anon_area.ts';
import { folio_put } from '../swap.ts';
import { vm_area_alloc, vm_area_free } from '../vma_init.ts';
import { allocPrivatePage, rssInc } from './mapped.ts';
import { do_mmap_pgoff, insert_vm_struct } from './mmap.ts';
import { allocTables } from './zap.ts';

/** VM_STACK_FLAGS of i386. */
const STACK_FLAGS =
  VM_READ | VM_WRITE | VM_EXEC | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_GROWSDOWN;

/** kmem_cache_alloc() of setup_arg_pages() v2.4.0, before the point of no return. The VMA or -ENOMEM. */
function* create_init_stack_vma(mm: mm_struct): K<vm_area_struct | number> {
  const mpnt = vm_area_alloc(mm);
  if (mpnt === null) {
    mmlistRemove(mm);
    return -ENOMEM;
  }
  return mpnt;
}

/** fs/exec.c: copy_strings() v2.4.0: bprm->page[]. 0 or -ENOMEM. */
function* get_arg_page(_mm: mm_struct, mpnt: vm_area_struct): K<number> {
  const page = yield* allocPrivatePage(true);
  if (page === null) {
    return -ENOMEM;
  }
  mpnt.vm_private_data = page.pfn;
  return 0;
}

/** The page of the arguments, or null. */
function argPage(mpnt: vm_area_struct): page | null {
  const pfn = mpnt.vm_private_data;
  mpnt.vm_private_data = 0;
  return pfn === 0 ? null : mem_map.at(pfn);
}

/** The failure exits of do_execve() v2.4.0: the pages of the arguments go back. */
function discard(mpnt: vm_area_struct): void {
  const page = argPage(mpnt);
  if (page !== null) {
    folio_put(page);
  }
  vm_area_free(mpnt);
}

/** mm->rss++ and set_pte() of put_dirty_page(). Atomic. */
function mapDirty(mm: mm_struct, vma: vm_area_struct, pmd: number, page: page): void {
  const prot = vm_get_page_prot(vma.vm_flags);
  const pte = pte_mkyoung(pte_mkdirty(pte_mkwrite(mk_pte(page, prot))));
  set_pte_at(mm, vma.vm_start, pte_offset(pmd, vma.vm_start), pte);
  rssInc(mm, page);
}

/** fs/exec.c: put_dirty_page() v2.4.0. Without a page table the task is killed. Preconditions: mmap_sem. */
function* put_dirty_page(mm: mm_struct, vma: vm_area_struct, page: page): K<number> {
  const pmd = yield* allocTables(mm, vma.vm_start);
  if (pmd === 0) {
    folio_put(page);
    return -ENOMEM;
  }
  if (has('anon_layer') && (yield* anon_page_add(vma, vma.vm_start, page)) !== 0) {
    folio_put(page);
    return -ENOMEM;
  }
  mapDirty(mm, vma, pmd, page);
  return 0;
}

/** fs/exec.c: setup_arg_pages() v2.4.0. Preconditions: current->mm is the new address space. */
function* setup_arg_pages(mpnt: vm_area_struct, stack_top: number): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const page = argPage(mpnt);
  mpnt.vm_start = stack_top - PAGE_SIZE;
  mpnt.vm_end = stack_top;
  mpnt.vm_flags = STACK_FLAGS;
  mpnt.vm_page_prot = vm_get_page_prot(STACK_FLAGS);
  mpnt.vm_pgoff = 0;
  yield* insert_vm_struct(mm, mpnt);
  mm.total_vm = (mpnt.vm_end - mpnt.vm_start) / PAGE_SIZE;
  mm.start_stack = stack_top - 8;
  const error = page === null ? 0 : yield* put_dirty_page(mm, mpnt, page);
  up_write(mm.mmap_lock);
  return error;
}

/** fs/binfmt_elf.c: elf_map() v2.4.0. */
function* map_image(
  file: file | null,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  pgoff: number,
): K<number> {
  const mm = current_mm();
  yield* down_write(mm.mmap_lock);
  const error = yield* do_mmap_pgoff(file, addr, len, prot, flags, pgoff);
  up_write(mm.mmap_lock);
  return error;
}

export const early24_exec: exec_ops = {
  create_init_stack_vma,
  get_arg_page,
  discard,
  setup_arg_pages,
  map_image,
};
