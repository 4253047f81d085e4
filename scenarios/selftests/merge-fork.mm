title    Selftest merge: what a fork child inherited does not merge
about    The cases forked_* of tools/testing/selftests/mm/merge.c. A forked VMA hangs on the anon_vma of its
about    parent, too. If it merged with unfaulted neighbours, ever more pages would be looked for under the
about    parent's lock, so it does not (vma_is_fork_child); not even when nothing is shared any more.
kernels  v6.18
config   memory=16M

A: c = mmap(NULL, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)

# forked_target_vma: the new mapping would extend the forked one.
A: mmap(c+1p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: store(c+1p, 1)
A: B = fork()
# Every page gets a copy, or is new: nothing of the parent's is mapped. The link to its anon_vma stays.
B: store(c+1p, 2, 5p)
expect page(B, c+1p) != page(A, c+1p)
expect avcs(B, c+1p) == 2
B: mmap(c+6p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
expect vma(B, c+1p).start == c+1p && vma(B, c+1p).end == c+6p
expect vma(B, c+6p).flags == vma(B, c+1p).flags
B: exit(0)

# The parent, whose chain is short, merges in the same place.
A: mmap(c+6p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
expect vma(A, c+1p).end == c+11p

# forked_source_vma: the forked one is what mprotect changes, and would hand its chain to the neighbour.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+1p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_NORESERVE, -1, 0)
A: store(c+1p, 1)
A: D = fork()
D: store(c+1p, 2, 5p)
D: mmap(c+6p, 5p, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_NORESERVE, -1, 0)
expect vma(D, c+6p).start == c+6p && vma(D, c+6p).end == c+11p
D: mprotect(c+1p, 5p, PROT_READ|PROT_WRITE|PROT_EXEC)
expect vma(D, c+6p).flags == vma(D, c+1p).flags
expect vma(D, c+6p).start == c+6p && vma(D, c+6p).end == c+11p
D: exit(0)

# In the parent they become one.
A: mmap(c+6p, 5p, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_NORESERVE, -1, 0)
A: mprotect(c+1p, 5p, PROT_READ|PROT_WRITE|PROT_EXEC)
expect vma(A, c+1p).end == c+11p
