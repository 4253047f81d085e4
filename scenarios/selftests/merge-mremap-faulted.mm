title    Selftest merge: mremap of a faulted VMA next to unfaulted ones
about    The cases mremap_faulted_to_unfaulted_* of tools/testing/selftests/mm/merge.c, each in the process that
about    faulted the VMA and in a fork child. Linux 6.18.0 merged them all and left the survivor without the
about    chain (a use after free). Since then the chain goes over, and a fork child does not merge.
about    MREMAP_DONTUNMAP leaves the source in place, empty. Stop at the handing over: :break dup_anon_vma
kernels  v6.18
config   memory=16M

A: c = mmap(NULL, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)

# mremap_faulted_to_unfaulted_prev: it comes back behind an unfaulted VMA.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+4p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: store(c+4p, 1)
A: B = fork()
# The child goes first, while its VMA has the chain of a fork.
B: mremap(c+4p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED, c+20p)
B: mmap(c+1p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
B: mremap(c+20p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, c+4p)
expect vma(B, c+1p).start == c+1p && vma(B, c+1p).end == c+4p
expect vma(B, c+4p).start == c+4p && vma(B, c+4p).end == c+7p
expect anon_vma(B, c+1p) == NULL
B: exit(0)
A: mremap(c+4p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED, c+20p)
A: mmap(c+1p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mremap(c+20p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, c+4p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+7p
expect anon_vma(A, c+1p) == anon_vma(page(A, c+4p))

# mremap_faulted_to_unfaulted_next: in front of one.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+1p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: store(c+1p, 1)
A: D = fork()
D: mremap(c+1p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED, c+20p)
D: mmap(c+4p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
D: mremap(c+20p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, c+1p)
expect vma(D, c+1p).start == c+1p && vma(D, c+1p).end == c+4p
expect vma(D, c+4p).start == c+4p && vma(D, c+4p).end == c+7p
expect anon_vma(D, c+4p) == NULL
D: exit(0)
A: mremap(c+1p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED, c+20p)
A: mmap(c+4p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mremap(c+20p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, c+1p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+7p
expect anon_vma(A, c+4p) == anon_vma(page(A, c+1p))

# mremap_faulted_to_unfaulted_prev_unfaulted_next: between two.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+4p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: store(c+4p, 1)
A: E = fork()
E: mremap(c+4p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED, c+20p)
E: mmap(c+1p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
E: mmap(c+7p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
E: mremap(c+20p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, c+4p)
expect vma(E, c+1p).start == c+1p && vma(E, c+1p).end == c+4p
expect vma(E, c+4p).start == c+4p && vma(E, c+4p).end == c+7p
expect vma(E, c+7p).start == c+7p && vma(E, c+7p).end == c+10p
E: exit(0)
A: mremap(c+4p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED, c+20p)
A: mmap(c+1p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+7p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mremap(c+20p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, c+4p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+10p
expect anon_vma(A, c+1p).num_active_vmas == 1

# mremap_faulted_to_unfaulted_prev_faulted_next: it was one with what lies behind it, so that even
# the child merges these two: they have the same chain.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+4p, 6p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: store(c+4p, 1)
A: F = fork()
F: mremap(c+4p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED, c+20p)
F: mmap(c+1p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
F: mremap(c+20p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, c+4p)
expect vma(F, c+1p).start == c+1p && vma(F, c+1p).end == c+4p
expect vma(F, c+4p).start == c+4p && vma(F, c+4p).end == c+10p
expect avcs(F, c+4p) == 2
F: exit(0)
A: mremap(c+4p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED, c+20p)
A: mmap(c+1p, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mremap(c+20p, 3p, 3p, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, c+4p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+10p
expect byte(A, c+4p) == 1
