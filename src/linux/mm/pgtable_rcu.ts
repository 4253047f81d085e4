/** What RCU does with page tables: mm/mmu_gather.c, tlb_remove_table_rcu(), v6.18. */
import { rcuFunction } from '../kernel/rcu_types.ts';
import { pagetable_free } from './pgtable.ts';
import type { ptdesc } from './pgtable_types.ts';

/** Nobody can be inside the table any more. */
export const tlb_remove_table_rcu = rcuFunction('tlb_remove_table_rcu', (object) => {
  pagetable_free(object as ptdesc);
});
