/** Tracepoints of the memory manager. Where Linux has the tracepoint, name and fields are Linux's. */
import { tracepoint } from '../../sim/event.ts';

// ---- pins
export const trace_pin = tracepoint(
  'gup:pin',
  { page: 'page', address: 'x', flags: 'x' },
  'a device pinned a page',
);
export const trace_unpin = tracepoint(
  'gup:unpin',
  { page: 'page', address: 'x' },
  'a device let go of a page that it had pinned',
);

// ---- rmap
export const trace_anon_vma_prepare = tracepoint(
  'rmap:anon_vma_prepare',
  { vma: 'obj', anon_vma: 'obj', reused: 'n' },
  'a VMA got its anon_vma at the first write fault; reused = taken over from a neighbour',
);
export const trace_anon_vma_alloc = tracepoint(
  'rmap:anon_vma_alloc',
  { anon_vma: 'obj' },
  'an anon_vma was allocated',
);
export const trace_anon_vma_free = tracepoint(
  'rmap:anon_vma_free',
  { anon_vma: 'obj' },
  'the last reference to an anon_vma went',
);
export const trace_anon_vma_reuse = tracepoint(
  'rmap:anon_vma_reuse',
  { vma: 'obj', anon_vma: 'obj' },
  "fork gave the child an ancestor's anon_vma instead of a new one",
);
export const trace_anon_vma_clone = tracepoint(
  'rmap:anon_vma_clone',
  { dst: 'obj', src: 'obj', links: 'n' },
  'a VMA was linked to all anon_vmas of another',
);
export const trace_anon_vma_fork = tracepoint(
  'rmap:anon_vma_fork',
  { vma: 'obj', pvma: 'obj', anon_vma: 'obj' },
  'a forked VMA got its chain',
);
export const trace_avc_link = tracepoint(
  'rmap:link',
  { vma: 'obj', anon_vma: 'obj', avc: 'obj' },
  'an anon_vma_chain was linked',
);
export const trace_avc_unlink = tracepoint(
  'rmap:unlink',
  { vma: 'obj', anon_vma: 'obj', avc: 'obj' },
  'an anon_vma_chain was unlinked',
);
export const trace_anon_vma_link = tracepoint(
  'rmap:vma_link',
  { vma: 'obj', anon_vma: 'obj' },
  'a VMA was put on the list of its anon_vma (2.6.7 to 2.6.33)',
);
export const trace_anon_vma_unlink = tracepoint(
  'rmap:vma_unlink',
  { vma: 'obj', anon_vma: 'obj' },
  'a VMA was taken off the list of its anon_vma (2.6.7 to 2.6.33)',
);
export const trace_anon_vma_merge = tracepoint(
  'rmap:merge',
  { vma: 'obj', next: 'obj' },
  'the chain of a VMA swallowed by a merge was dropped',
);
export const trace_page_add_rmap = tracepoint(
  'rmap:page_add',
  { page: 'page', vma: 'obj', address: 'x', mapcount: 'n', exclusive: 'n' },
  'a page-table entry for the page was added',
);
export const trace_page_move_rmap = tracepoint(
  'rmap:page_move',
  { page: 'page', anon_vma: 'obj' },
  'an anonymous page moved to the anon_vma of its only user',
);
export const trace_page_remove_rmap = tracepoint(
  'rmap:page_remove',
  { page: 'page', vma: 'obj', mapcount: 'n' },
  'a page-table entry for the page was removed',
);
export const trace_walk_begin = tracepoint(
  'rmap:walk_begin',
  { page: 'page', anon_vma: 'obj', index: 'x', purpose: 'str' },
  'a reverse-map walk began, its lock held',
);
export const trace_walk_visit = tracepoint(
  'rmap:walk_visit',
  { page: 'page', vma: 'obj', anon_vma: 'obj', address: 'x' },
  'the walk looks at one VMA',
);
export const trace_walk_hit = tracepoint(
  'rmap:walk_hit',
  { page: 'page', vma: 'obj', address: 'x' },
  'the VMA maps the page at that address',
);
export const trace_walk_miss = tracepoint(
  'rmap:walk_miss',
  { page: 'page', vma: 'obj', address: 'x' },
  'a wasted visit: the VMA does not map the page',
);
export const trace_walk_end = tracepoint(
  'rmap:walk_end',
  { page: 'page', visits: 'n', hits: 'n', stopped: 'n' },
  'the walk ended; stopped = before the last VMA, by its own rule',
);
export const trace_lock_root = tracepoint(
  'rmap:lock_root',
  { anon_vma: 'obj', root: 'obj', mode: 'str' },
  'the root of an anon_vma family was locked',
);

// ---- huge pages
export const trace_thp_split_pmd = tracepoint(
  'thp:split_pmd',
  { vma: 'obj', address: 'x', freeze: 'n' },
  'a huge page-table entry becomes a table of 512 small ones',
);
export const trace_thp_split_folio = tracepoint(
  'thp:split_folio',
  { page: 'page', ret: 'n' },
  'a large folio, taken out of all page tables, became single pages (ret 0), or somebody had a reference',
);
export const trace_thp_collapse = tracepoint(
  'thp:collapse',
  { mm: 'obj', address: 'x', page: 'page', result: 'str' },
  '512 small pages were to become one huge page; result SUCCEED, or why they did not',
);

// ---- vma
export const trace_vma_map = tracepoint(
  'vma:map',
  { vma: 'obj', start: 'x', end: 'x', flags: 'x' },
  'a VMA was created by a mapping',
);
export const trace_vma_unmap = tracepoint(
  'vma:unmap',
  { vma: 'obj', start: 'x', end: 'x' },
  'a VMA was removed',
);
export const trace_vma_split = tracepoint(
  'vma:split',
  { vma: 'obj', new_vma: 'obj', addr: 'x' },
  'a VMA was split at addr',
);
export const trace_vma_merge = tracepoint(
  'vma:merge',
  { vma: 'obj', start: 'x', end: 'x', removed: 'n' },
  'a VMA grew over a range; removed = VMAs swallowed',
);
export const trace_vma_adjust = tracepoint(
  'vma:adjust',
  { vma: 'obj', start: 'x', end: 'x', pgoff: 'x' },
  'vm_start, vm_end or vm_pgoff were written',
);
export const trace_vma_expand = tracepoint(
  'vma:expand',
  { vma: 'obj', start: 'x', end: 'x' },
  'a VMA was extended in place (brk, mremap, stack)',
);
export const trace_vm_unmapped_area = tracepoint(
  'mmap:vm_unmapped_area',
  { addr: 'x', length: 'x', low_limit: 'x', high_limit: 'x' },
  'address search for a new mapping',
);

// ---- fault
export const trace_page_fault_user = tracepoint(
  'exceptions:page_fault_user',
  { address: 'x', error_code: 'x' },
  'a user access faulted',
);
export const trace_fault_anon = tracepoint(
  'fault:anon',
  { vma: 'obj', address: 'x', page: 'page' },
  'an anonymous page (or the zero page) was mapped',
);
export const trace_fault_cow = tracepoint(
  'fault:cow',
  { vma: 'obj', address: 'x', old: 'page', page: 'page', reused: 'n' },
  'a write to a read-only private page: copied, or reused in place',
);
export const trace_fault_file = tracepoint(
  'fault:file',
  { vma: 'obj', address: 'x', page: 'page' },
  'a page-cache page was mapped',
);
export const trace_fault_swap = tracepoint(
  'fault:swap',
  { vma: 'obj', address: 'x', entry: 'x', page: 'page' },
  'a swapped-out page came back',
);
export const trace_fault_spurious = tracepoint(
  'fault:spurious',
  { vma: 'obj', address: 'x' },
  'somebody else had already handled the fault',
);

// ---- pte
export const trace_pte_set = tracepoint(
  'pte:set',
  { mm: 'obj', address: 'x', pte: 'x', old: 'x' },
  'a page-table entry was written',
);
export const trace_pte_clear = tracepoint(
  'pte:clear',
  { mm: 'obj', address: 'x', old: 'x' },
  'a page-table entry was cleared',
);

// ---- page
export const trace_mm_page_alloc = tracepoint(
  'kmem:mm_page_alloc',
  { page: 'page', order: 'n' },
  'a page was allocated',
);
export const trace_mm_page_free = tracepoint(
  'kmem:mm_page_free',
  { page: 'page', order: 'n' },
  'a page was freed',
);
export const trace_page_dup = tracepoint(
  'page:dup',
  { page: 'page', mapcount: 'n' },
  'fork shares a page',
);

// ---- swap, migration, lru
export const trace_swap_out = tracepoint(
  'swap:out',
  { page: 'page', entry: 'x' },
  'a page was written to a swap slot',
);
export const trace_swap_in = tracepoint(
  'swap:in',
  { page: 'page', entry: 'x' },
  'a page was read from a swap slot',
);
export const trace_swapoff = tracepoint(
  'swap:swapoff',
  { result: 'n' },
  'the swap area is gone, or still needed (an error)',
);
export const trace_migrate_begin = tracepoint(
  'migrate:begin',
  { src: 'page', dst: 'page' },
  'migration of a page begins',
);
export const trace_set_migration_pte = tracepoint(
  'migrate:set_migration_pte',
  { address: 'x', pte: 'x', order: 'n' },
  'a page-table entry became a migration entry',
);
export const trace_remove_migration_pte = tracepoint(
  'migrate:remove_migration_pte',
  { address: 'x', pte: 'x', order: 'n' },
  'a migration entry became a page again',
);
export const trace_set_migration_pmd = tracepoint(
  'migrate:set_migration_pmd',
  { address: 'x', pmd: 'x' },
  'the entry of a huge page became a migration entry',
);
export const trace_remove_migration_pmd = tracepoint(
  'migrate:remove_migration_pmd',
  { address: 'x', pmd: 'x' },
  'a migration entry of a huge page became the huge page again',
);
export const trace_migrate_end = tracepoint(
  'migrate:end',
  { src: 'page', dst: 'page', result: 'n' },
  'migration of a page ended',
);
export const trace_lru_add = tracepoint(
  'lru:add',
  { page: 'page' },
  'a page was put on an LRU list',
);
export const trace_lru_del = tracepoint(
  'lru:del',
  { page: 'page' },
  'a page was taken off its LRU list',
);

// ---- KSM
export const trace_ksm_start_scan = tracepoint(
  'ksm:ksm_start_scan',
  { seq: 'n', rmap_entries: 'n' },
  'ksmd began a pass over all mergeable memory',
);
export const trace_ksm_stop_scan = tracepoint(
  'ksm:ksm_stop_scan',
  { seq: 'n', rmap_entries: 'n' },
  'ksmd finished a pass',
);
export const trace_ksm_enter = tracepoint(
  'ksm:ksm_enter',
  { mm: 'obj' },
  'an address space came on the list of ksmd',
);
export const trace_ksm_exit = tracepoint(
  'ksm:ksm_exit',
  { mm: 'obj' },
  'an address space on the list of ksmd is going',
);
export const trace_ksm_merge_one_page = tracepoint(
  'ksm:ksm_merge_one_page',
  { pfn: 'n', rmap_item: 'obj', mm: 'obj', err: 'n' },
  'a page of zeros was (err 0) replaced by the zero page',
);
export const trace_ksm_merge_with_ksm_page = tracepoint(
  'ksm:ksm_merge_with_ksm_page',
  { ksm_page: 'page', pfn: 'n', rmap_item: 'obj', mm: 'obj', err: 'n' },
  'a page was (err 0) replaced by a KSM page, or became one (ksm_page null)',
);
export const trace_ksm_remove_ksm_page = tracepoint(
  'ksm:ksm_remove_ksm_page',
  { pfn: 'n' },
  'the stable node of a page that is gone was removed',
);
export const trace_ksm_remove_rmap_item = tracepoint(
  'ksm:ksm_remove_rmap_item',
  { pfn: 'n', rmap_item: 'obj', mm: 'obj' },
  'an item left the stable node of a page that is gone',
);
