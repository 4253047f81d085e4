title    Tour 1: fork, copy on write, and who maps this page
about    A parent writes to three pages and forks. Parent and child share the pages until one writes.
about    n executes a line of the kernel, s enters functions, c runs on; N, S and C go back. Watch pane 4.
kernels  v6.18 v2.6.36 v3.6 v5.19
config   memory=16M

# mmap promises memory and gives none: one VMA, no page-table entry, no page, no anon_vma.
# Pane 3 draws the address space, pane 4 the anon_vmas.
A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
expect vmas(A) == 1
expect anon_vma(A, p) == NULL
expect avcs(A, p) == 0
expect rss(A) == 0

# The first write faults: do_anonymous_page(). Before it maps a page, the VMA must have an anon_vma
# (anon_vma_prepare), because a page has no room for a list of the VMAs that map it. It remembers the
# anon_vma (page.mapping) and its place there (page.index), and the anon_vma knows the VMAs.
A: store(p, 1)
A: store(p+1p, 2)
A: store(p+2p, 3)
expect rss(A) == 3
expect avcs(A, p) == 1
expect anon_vma(page(A, p)) == anon_vma(A, p)
expect mapcount(page(A, p)) == 1

# fork copies the VMA and the page-table entries, not the pages: both sides become read-only.
# The child's VMA is linked to two anon_vmas: to the parent's, where the shared pages belong, and to a
# new one of its own, where the pages will belong that it writes from now on (anon_vma_fork).
A: B = fork()
expect page(A, p) == page(B, p)
expect mapcount(page(A, p)) == 2
expect !pte(A, p).write && !pte(B, p).write
expect avcs(A, p) == 1
expect avcs(B, p) == 2
expect anon_vma(B, p).root == anon_vma(A, p)

# The child writes and gets a copy: do_wp_page(). The copy belongs to the child's own anon_vma, so a walk
# for it will never look at the parent.
B: store(p, 7)
expect page(A, p) != page(B, p)
expect anon_vma(page(B, p)) == anon_vma(B, p)
expect mapcount(page(A, p)) == 1
expect byte(A, p) == 1
expect byte(B, p) == 7

# Now the parent is the only user of its page, yet its entry is still read-only: nobody told it. Its
# next write faults once more, sees that it is alone, and takes the page over without a copy.
expect !pte(A, p).write
A: store(p, 9)
expect pte(A, p).write
expect byte(A, p) == 9
expect byte(B, p) == 7

# The other two pages are shared as before.
expect mapcount(page(A, p+1p)) == 2
expect mappings(page(A, p+2p)) == 2
