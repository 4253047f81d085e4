title    Selftest cow: the same with huge pages
about    The cases of tools/testing/selftests/mm/cow.c with a huge page of 2 MiB: mapped by one entry,
about    mapped page by page, partly moved, partly shared. Whoever writes, nobody else may see it.
kernels  v6.18
config   memory=64M

# Mapped by one entry (PMD): the write after the fork must not reach the child.
A: p = mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)
A: store(p, 1)
A: store(p+1M, 1)
A: B = fork()
A: store(p, 2)
A: store(p+1M, 3)
B: load(p) = 1
B: load(p+1M) = 1
A: load(p) = 2
B: store(p+4K, 5)
A: load(p+4K) = 0
B: exit(0)
A: munmap(p, 2M)

# With the protection to and fro in the parent.
A: p = mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)
A: store(p, 1)
A: D = fork()
A: mprotect(p, 2M, PROT_READ)
A: mprotect(p, 2M, PROT_READ|PROT_WRITE)
A: store(p, 2)
D: load(p) = 1
D: exit(0)
A: munmap(p, 2M)

# Mapped page by page: a part of the range was changed, which splits the entry, not the page.
A: p = mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)
A: store(p, 1)
A: store(p+1M, 1)
A: mprotect(p+4K, 4K, PROT_READ)
A: E = fork()
A: store(p, 2)
A: store(p+1M, 3)
E: load(p) = 1
E: load(p+1M) = 1
expect page(A, p) != page(E, p) && page(A, p+8K) == page(E, p+8K)
E: exit(0)
A: munmap(p, 2M)

# Partly moved: the second half goes elsewhere, and is shared there.
A: p = mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)
A: store(p, 1)
A: store(p+1M, 2)
A: q = mremap(p+1M, 1M, 1M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50000000)
A: F = fork()
A: store(p, 3)
A: store(q, 4)
F: load(p) = 1
F: load(q) = 2
F: exit(0)
A: munmap(p, 1M)
A: munmap(q, 1M)

# A single PTE: all other pages are unmapped before the fork.
A: p = mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)
A: store(p, 1)
A: munmap(p+4K, 2M-4K)
A: H = fork()
A: store(p, 2)
H: load(p) = 1
H: exit(0)
A: munmap(p, 4K)

# Partly shared: the child of a fork has half of the page only.
A: p = mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE, -1, 0)
A: madvise(p, 2M, MADV_HUGEPAGE)
A: store(p, 1)
A: store(p+1M, 2)
A: madvise(p+1M, 1M, MADV_DONTFORK)
A: G = fork()
A: store(p, 3)
A: store(p+1M, 4)
G: load(p) = 1
G: load(p+1M) = SIGSEGV
G: exit(0)
A: load(p+1M) = 4
