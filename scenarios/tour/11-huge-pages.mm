title    Tour 11: huge pages: mapped by one entry, or by 512
about    Transparent huge pages: one entry of the PMD maps 2 MiB. What splits the entry, what splits the page, and how the
about    counts of 512 pages are kept in one folio. :vtop A p shows the entry and the folio; :break __split_huge_pmd.
kernels  v6.18
config   memory=64M swap=16M

# Huge pages are for who asks for them (transparent_hugepage/enabled is madvise), where 2 MiB fit, aligned.
A: p = mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)

# A read maps the huge zero page, a write gets 512 frames in a row. One fault, one entry, one anon_vma.
A: load(p) = 0
A: store(p, 1)
expect page(A, p).order == 9 && page(A, p+511p).folio == page(A, p)
expect pte(A, p).pfn == pte(A, p+511p).pfn
expect page(A, p).entire_mapcount == 1 && refcount(page(A, p)) == 1

# Fork shares the entry, and copies nothing. Both counts of the folio go up by one: 512 pages, two mappings.
A: B = fork()
expect page(A, p).entire_mapcount == 2 && page(A, p).large_mapcount == 2
expect mappings(page(A, p+300p)) == 2

# A write of the child does not copy 2 MiB. Its entry is split into 512, which leaves the page as it is, and the small
# fault copies one page. The parent keeps its huge entry: the same page is mapped both ways at once.
B: store(p+7p, 2)
expect page(A, p).entire_mapcount == 1 && page(A, p).large_mapcount == 1 + 511
expect page(B, p+7p).order == 0 && page(B, p+8p).folio == page(A, p)
expect mapcount(page(A, p+7p)) == 1 && mapcount(page(A, p+8p)) == 2
A: load(p+7p) = 0
B: exit(0)

# Half of it is unmapped. No memory comes free: a huge page is freed as a whole. It is put on a queue, and marked.
A: munmap(p+1M, 1M)
expect page(A, p).entire_mapcount == 0 && page(A, p).large_mapcount == 256
expect page(A, p).partially_mapped

# Reclaim would split it when memory is short. Here it is done by hand (debugfs has a file for that): migration entries
# in all page tables, 512 references of one folio become one of each page, and back. What was never written is given up
# for the zero page; what nobody maps is freed.
kernel: split(A, p) = 0
expect page(A, p).order == 0 && page(A, p).mapcount == 1
expect page(A, p+1p) == NULL || page(A, p+1p).reserved

# khugepaged goes the other way: it looks for blocks that could be huge again. First the hole must be mapped.
A: mmap(p+1M, 1M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)
A: store(p+300p, 3)
kernel: settle()
khugepaged: khugepaged_scan() = 1
expect page(A, p).order == 9 && page(A, p+300p).folio == page(A, p)
A: load(p) = 1
A: load(p+300p) = 3

# A device that has pinned one page of it has pinned all of it: it is not split, and fork splits the entry and copies
# every page at once, as nobody knows which of them the device writes to.
A: pin(A, p+5p)
expect page(A, p).pincount == 1
kernel: split(A, p) = EBUSY
A: C = fork()
expect page(C, p+5p) != page(A, p+5p) && page(C, p+6p) != page(A, p+6p)
A: unpin(A, p+5p)
C: exit(0)

# Swap takes it as a whole, if there are 512 slots in a row. It comes back page by page.
kernel: settle()
A: madvise(p, 2M, MADV_PAGEOUT)
expect pte(A, p).swap && pte(A, p+511p).swap
A: load(p+300p) = 3
expect page(A, p+300p).order == 0 && pte(A, p).swap
