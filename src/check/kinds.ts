/**
 * The stable words for what can be found: usable in a scenario's `verdict` and in `catch`. The ids in
 * brackets are those of the project's list of checks.
 */
export const findingKinds = {
  // ---- reported by the kernel itself, or by the machine under it
  bug: 'BUG_ON or VM_BUG_ON of the kernel',
  warn: 'WARN_ON of the kernel',
  oops: 'kernel code dereferenced NULL or garbage; its task died',
  'use-after-free': 'a field of a freed object was accessed (MEM1)',
  'double-free': 'an object was freed twice (REF2)',
  'bad-unlock': 'a task released a lock that it does not hold in that mode (LK1)',
  'lock-not-held': 'a function was entered without the lock that it requires (LK5)',
  'lock-leak': 'a task exits or returns to user space with a lock or an RCU section held (LK3)',
  'lock-depth': 'a task holds more locks than Linux can track',
  'sleep-in-atomic': 'a sleeping lock inside a spinlock or RCU section (LK4)',
  'bad-page': 'a page was freed while it was locked, listed, mapped or referenced (REF2)',
  deadlock: 'unfinished operations exist and none can run (LIVE1)',
  // ---- judged: reverse mapping
  'rmap-unreachable': 'a mapped anonymous page whose walk cannot find that mapping (RMAP1)',
  'anon-vma-freed': 'a mapped page points to an anon_vma that was freed (LIFE1)',
  'anon-vma-linkage': 'chains and trees of anon_vma disagree (RMAP2, MEM2)',
  'anon-vma-merge': 'two VMAs of one mm share an anon_vma but not a chain (RMAP3)',
  'anon-vma-counter': 'num_children, num_active_vmas or refcount of an anon_vma is wrong (RMAP4)',
  'pte-chain-wrong': 'the pte_chains of a page and the entries that map it disagree (2.6.0)',
  'anonmm-wrong': 'counts or lists of a family of anonmm are wrong',
  'file-rmap-unreachable': 'a mapped file page whose VMA is not in the i_mmap tree (RMAP1)',
  'mapcount-wrong': '_mapcount differs from the number of page-table entries (RMAP5)',
  'exclusive-wrong': 'a page marked exclusive has another user (RMAP6)',
  'cow-shared-writable': 'a private page that another mm can see is mapped writable (COW1)',
  'walk-missed': 'a walk that must find every mapping did not visit one that was there (WALK1)',
  'pinned-not-exclusive': 'an anonymous page that a device has pinned can be shared (GUP1)',
  // ---- judged: pages and page tables
  'refcount-wrong': '_refcount differs from the references that exist (REF3, REF4)',
  'leaked-page': 'a page is allocated and nothing refers to it (REF5)',
  'lru-wrong': 'an LRU list, its size or its flags disagree (LRU1)',
  'free-pages-wrong': 'the free lists and the number of free pages disagree (FREE1)',
  'pte-freed-page': 'a page-table entry refers to a free page (PTE1)',
  'pte-outside-vma': 'a page-table entry lies in no VMA (PTE2)',
  'pte-permission': 'a page-table entry allows more than its VMA (PTE3)',
  'anon-page-without-anon-vma': 'a VMA without anon_vma maps an anonymous page (VMA2)',
  'split-queue-wrong':
    'the queue of huge pages that reclaim may split, and the flags of those pages, disagree (THP1)',
  'khugepaged-slot': 'the list of khugepaged and the flags of address spaces disagree (THP2)',
  'rss-wrong': 'a resident set counter differs from the page tables',
  // ---- judged: KSM
  'ksm-item': 'an item of ksmd is out of order, of another mm, or miscounted (KSM1)',
  'ksm-tree': 'the stable tree is out of order, or its nodes and items disagree (KSM2)',
  'ksm-unreachable': 'a mapping of a KSM page that its own item does not lead to (KSM3)',
  // ---- judged: migration and swap
  'migration-page-unlocked': 'a migration entry names a page that nobody has locked (MIG1)',
  'stale-migration-entry': 'a migration entry was left behind (MIG2, WALK2)',
  'swap-count-wrong': 'the count of a swap slot differs from its users (SWAP3)',
  // ---- judged: VMAs, locks, lifetime
  'vma-tree': 'the VMAs of an mm overlap, or tree, count and gaps disagree (VMA1)',
  'held-at-end': 'an operation ended with a lock or an RCU section held (LK3)',
  'leaked-object': 'an object of the slab is allocated and nothing refers to it (REF5, LIFE2)',
} as const;

export type FindingKind = keyof typeof findingKinds;

export function isFindingKind(word: string): word is FindingKind {
  return Object.hasOwn(findingKinds, word);
}
