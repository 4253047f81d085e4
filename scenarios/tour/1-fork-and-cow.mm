title    Tour 1: fork, copy on write, and who maps this page
about    A parent writes to three pages and forks. Parent and child share the pages until one writes.
about    Press n to execute a line of the kernel, s to enter functions, N and S to go back.
kernels  v6.18
config   memory=16M

# An empty address space gets one VMA. Nothing is mapped yet: no page, no anon_vma.
A: p = mmap(NULL, 8p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
expect vmas(A) == 1
expect avcs(A, p) == 0

# The first write faults. The VMA gets an anon_vma, the page remembers it.
A: store(p, 1)
A: store(p+1p, 2)
A: store(p+2p, 3)
expect avcs(A, p) == 1
expect mapcount(page(A, p)) == 1

# fork copies the VMA and the page tables, not the pages. The child's VMA is linked to the parent's
# anon_vma (where the shared pages are) and to one of its own (for pages it will write).
A: B = fork()
expect avcs(B, p) == 2
expect mapcount(page(A, p)) == 2
expect page(A, p) == page(B, p)

# The child writes: it gets a copy, which belongs to the child's own anon_vma.
B: store(p, 7)
expect page(A, p) != page(B, p)
expect mapcount(page(A, p)) == 1
expect byte(A, p) == 1
expect byte(B, p) == 7

# The parent is now the only user of its page, yet its entry is still read-only. The next write
# makes it writable again, without a copy.
A: store(p, 9)
expect byte(A, p) == 9
expect byte(B, p) == 7
