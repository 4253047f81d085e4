title    Tour 3: VMAs split, merge and move; their pages stay findable
about    A page is never told that its VMA was cut, joined or moved. How does a walk still find it?
about    Watch vm_pgoff in pane 3: it is the answer. Try :watch vmas(A) and c.
kernels  v6.18 v2.6.33 v2.6.34 v2.6.36 v3.6 v5.19
config   memory=16M

A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 8p)
A: B = fork()

# A page's index is its offset in the anon_vma; for anonymous memory that is simply the page number of
# the address that it had when its VMA was first written to. vm_pgoff of a VMA is that of its first page.
# So: address = vm_start + (index - vm_pgoff) pages. No page needs to be touched when a VMA changes.
expect page(A, p+5p).index == vma(A, p).vm_pgoff + 5

# Two pages in the middle become read-only: one VMA is cut into three. Each piece gets links of its own
# to the same anon_vma (__split_vma, anon_vma_clone), and its own vm_pgoff.
A: mprotect(p+2p, 2p, PROT_READ)
expect vmas(A) == 3 && vmas(B) == 1
expect anon_vma(A, p+2p) == anon_vma(A, p)
expect vma(A, p+2p).vm_pgoff == vma(A, p).vm_pgoff + 2

# The anon_vma now has four VMAs, but the tree is asked for one page offset: the walk visits the
# piece that covers it, and the child.
expect len(anon_vma(A, p).vmas) == 4
kernel: referenced(A, p+2p)
expect walk_cost(A, p+2p).visited == 2
expect walk_cost(A, p+2p).wasted == 0

# Protection back as it was: neighbours with equal flags, the same anon_vma and adjoining page offsets
# are one VMA again (vma_merge_existing_range).
A: mprotect(p+2p, 2p, PROT_READ|PROT_WRITE)
expect vmas(A) == 1
expect len(anon_vma(A, p).vmas) == 2

# Half of it moves. Page-table entries are moved, pages are not: the VMA at the new place keeps the
# old page offsets, so the address changes and the index does not.
A: q = mremap(p, 4p, 4p, MREMAP_MAYMOVE|MREMAP_FIXED, p+64p)
expect vmas(A) == 2
expect vma(A, q).vm_start == p + 64p
expect vma(A, q).vm_pgoff == page(A, q).index
expect vma(A, q).vm_pgoff + 4 == vma(A, p+4p).vm_pgoff
kernel: referenced(A, q+1p)
expect walk_cost(A, q+1p).hits == 2

# Back again: now offsets adjoin addresses as they did, and the halves merge.
A: mremap(q, 4p, 4p, MREMAP_MAYMOVE|MREMAP_FIXED, p)
expect vmas(A) == 1
expect byte(A, p+3p) == 1
