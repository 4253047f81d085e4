/**
 * fs/exec.c v2.6.0, v2.6.7, the half that works on the new stack (mm_ops.exec). The arguments wait in pages that no page
 * table has (bprm->page[]) until the old address space has gone; then the stack is mapped where it stays.
 *
 * Lock tree: mmap_sem -> page_table_lock -> bit lock of a page. Fidelity: dup; the arguments are one page; the VMA is
 * allocated early and keeps that page in vm_private_data, as struct linux_binprm does in Linux.
 */
import type { K } from '../../../sim/wait.ts';
import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { ENOMEM } from '../../errno.ts';
import { current_mm } from '../../kernel/current.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { has } from '../../kernel.ts';
import {
  type file,
  mem_map,
  type mm_struct,
  type page,
  type vm_area_struct,
} from '../../mm_types.ts';
import { PAGE_SIZE, VM_STACK_FLAGS } from '../mm.ts';
import { inc_mm_counter, MM_ANONPAGES } from '../mm_counter.ts';
import type { exec_ops } from '../ops.ts';
import { folio_alloc } from '../page_alloc.ts';
import { folio_set, PG_active, PG_swapbacked, PG_uptodate } from '../page-flags.ts';
import { mk_pte, pte_mkdirty, pte_mkwrite, pte_mkyoung, set_pte_at } from '../pgtable.ts';
import { folio_add_lru, folio_put } from '../swap.ts';
import { security_vm_enough_memory_mm, vm_stat_account } from '../util.ts';
import { vm_area_alloc, vm_area_free } from '../vma_init.ts';
import { hooks } from './hooks.ts';
import { do_mmap_pgoff } from './mmap.ts';
import { allocPmd, pte_alloc_map } from './pgtable.ts';
import { linkVma } from './vma_change.ts';

/** kmem_cache_alloc() of setup_arg_pages() v2.6.0, before the point of no return. The VMA or -ENOMEM. */
function* create_init_stack_vma(mm: mm_struct): K<vm_area_struct | number> {
  return vm_area_alloc(mm) ?? -ENOMEM;
}

/** fs/exec.c: copy_strings() v2.6.0: bprm->page[]. 0 or -ENOMEM. */
function* get_arg_page(_mm: mm_struct, mpnt: vm_area_struct): K<number> {
  const page = folio_alloc(0, true);
  if (page === null) {
    return -ENOMEM;
  }
  folio_set(page, PG_uptodate | PG_swapbacked);
  mpnt.vm_private_data = page.pfn;
  return 0;
}

/** The page of the arguments, or null. */
function argPage(mpnt: vm_area_struct): page | null {
  const pfn = mpnt.vm_private_data;
  mpnt.vm_private_data = 0;
  return pfn === 0 ? null : mem_map.at(pfn);
}

/** The failure exits of do_execve() v2.6.0: the pages of the arguments go back. */
function discard(mpnt: vm_area_struct): void {
  const page = argPage(mpnt);
  if (page !== null) {
    folio_put(page);
  }
  vm_area_free(mpnt);
}

/** fs/exec.c: put_dirty_page() v2.6.0, install_arg_page() v2.6.7. Without memory the task is killed. Preconditions: mmap_sem. */
function* install_arg_page(vma: vm_area_struct, page: page, address: number): K<number> {
  const mm = vma.vm_mm as mm_struct;
  const prepared = yield* hooks().rmap_prepare(vma, false, false);
  if (typeof prepared === 'number') {
    folio_put(page);
    return prepared;
  }
  yield* spin_lock(mm.page_table_lock);
  const pmd = yield* allocPmd(mm, address);
  const pte = yield* pte_alloc_map(mm, pmd, address);
  inc_mm_counter(mm, MM_ANONPAGES);
  // lru_cache_add_active()
  folio_set(page, PG_active);
  folio_add_lru(page);
  set_pte_at(
    mm,
    address,
    pte,
    pte_mkyoung(pte_mkdirty(pte_mkwrite(mk_pte(page, vma.vm_page_prot)))),
  );
  const spare = yield* hooks().rmap_add(page, vma, address, pte, prepared);
  spin_unlock(mm.page_table_lock);
  hooks().rmap_unprepare(spare);
  return 0;
}

/** fs/exec.c: setup_arg_pages() v2.6.0. Preconditions: current->mm is the new address space. */
function* setup_arg_pages(mpnt: vm_area_struct, stack_top: number): K<number> {
  const mm = current_mm();
  if (security_vm_enough_memory_mm(mm, 1) !== 0) {
    discard(mpnt);
    return -ENOMEM;
  }
  yield* down_write(mm.mmap_lock);
  const page = argPage(mpnt);
  mpnt.vm_start = stack_top - PAGE_SIZE;
  mpnt.vm_end = stack_top;
  mpnt.vm_flags = VM_STACK_FLAGS;
  mpnt.vm_page_prot = vm_get_page_prot(VM_STACK_FLAGS);
  // insert_vm_struct() v2.6.7 gives it the offset it will have.
  mpnt.vm_pgoff = has('anon_pgoff') ? mpnt.vm_start / PAGE_SIZE : 0;
  yield* linkVma(mm, mpnt);
  vm_stat_account(mm, VM_STACK_FLAGS, 1);
  mm.start_stack = stack_top - 8;
  const error = page === null ? 0 : yield* install_arg_page(mpnt, page, mpnt.vm_start);
  up_write(mm.mmap_lock);
  return error;
}

/** fs/binfmt_elf.c: elf_map() v2.6.0. */
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

export const early26_exec: exec_ops = {
  create_init_stack_vma,
  get_arg_page,
  discard,
  setup_arg_pages,
  map_image,
};
