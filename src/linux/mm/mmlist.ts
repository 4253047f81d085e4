/**
 * init_mm.mmlist v6.18: address spaces that may have swap entries, for swapoff. Each function is one step, as
 * mmlist_lock makes it in Linux. Fidelity: dup.
 */
import { list_add, list_del_init, list_empty, list_entries } from '../lib/list.ts';
import type { mm_struct } from '../mm_types.ts';
import { processGlobals } from '../roots.ts';

/** mm/rmap.c: try_to_unmap_one() v6.18: the mm gets its first swap entry. */
export function mmlistAdd(mm: mm_struct): void {
  if (list_empty(mm.mmlist)) {
    list_add(mm.mmlist, processGlobals().mmlist);
  }
}

/** mm/memory.c: copy_nonpresent_pte() v6.18: fork gives the child a swap entry: behind its parent. */
export function mmlistAddChild(dst_mm: mm_struct, src_mm: mm_struct): void {
  if (list_empty(dst_mm.mmlist)) {
    list_add(dst_mm.mmlist, src_mm.mmlist);
  }
}

/** kernel/fork.c: __mmput() v6.18. */
export function mmlistRemove(mm: mm_struct): void {
  if (!list_empty(mm.mmlist)) {
    list_del_init(mm.mmlist);
  }
}

/** mm/swapfile.c: drain_mmlist() v6.18: no swap is in use. */
export function drain_mmlist(): void {
  const head = processGlobals().mmlist;
  for (const at of list_entries(head)) {
    list_del_init(at);
  }
}
