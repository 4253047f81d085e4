title    Selftest merge: mremap brings VMAs together
about    The cases mremap_unfaulted_* and mremap_correct_placed_faulted of tools/testing/selftests/mm/merge.c.
about    An unfaulted VMA fits wherever it goes: its page offset is made new. A faulted one has pages that know
about    their offset, so it fits only where it came from.
kernels  v6.18
config   memory=16M

A: c = mmap(NULL, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)

# mremap_unfaulted_to_faulted
A: mmap(c+1p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+7p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: q = mremap(c+7p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1007p)
A: store(c+1p, 1)
A: mremap(q, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+6p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+11p

# mremap_unfaulted_behind_faulted: now in front of it.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+6p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+14p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: q = mremap(c+14p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1014p)
A: store(c+6p, 1)
A: mremap(q, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+11p

# mremap_unfaulted_between_faulted: the two sides have different anon_vmas, which do not go together. One
# of them gets the range between; it is the left one.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+1p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+7p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+14p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: r = mremap(c+14p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+2014p)
A: q = mremap(c+7p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1007p)
A: store(c+1p, 1)
A: store(r, 1)
A: mremap(r, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+11p)
A: mremap(q, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+6p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+11p
expect vma(A, c+11p).start == c+11p && vma(A, c+11p).end == c+16p
expect anon_vma(A, c+1p) != anon_vma(A, c+11p)

# mremap_unfaulted_between_faulted_unfaulted: with nothing on the right to disagree, all three.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+1p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+7p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+14p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: r = mremap(c+14p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+2014p)
A: q = mremap(c+7p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1007p)
A: store(c+1p, 1)
A: mremap(r, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+11p)
A: mremap(q, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+6p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+16p

# mremap_unfaulted_between_correctly_placed_faulted: both sides were one VMA, so they do go together.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+1p, 15p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: store(c+1p, 1)
A: munmap(c+6p, 5p)
A: mmap(c+20p, 5p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mremap(c+20p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+6p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+16p
expect avcs(A, c+1p) == 1 && anon_vma(A, c+1p).num_active_vmas == 1

# mremap_correct_placed_faulted: one faulted VMA is cut into three by moving parts of it away. Each part
# merges again when it comes back to its place, in whichever order.
A: mmap(c, 30p, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: mmap(c+1p, 15p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: store(c+1p, 1)
A: r = mremap(c+11p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+2011p)
A: q = mremap(c+6p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1006p)
expect anon_vma(A, c+1p).num_active_vmas == 3
A: mremap(q, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+6p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+11p

A: q = mremap(c+1p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1001p)
A: mremap(q, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+11p

A: q = mremap(c+1p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1001p)
A: mremap(r, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+11p)
expect vma(A, c+6p).start == c+6p && vma(A, c+6p).end == c+16p
A: mremap(q, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+16p

A: q = mremap(c+6p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1006p)
A: mremap(q, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+6p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+16p

A: r = mremap(c+11p, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+1011p)
A: mremap(r, 5p, 5p, MREMAP_MAYMOVE|MREMAP_FIXED, c+11p)
expect vma(A, c+1p).start == c+1p && vma(A, c+1p).end == c+16p
expect byte(A, c+1p) == 1
expect anon_vma(A, c+1p).num_active_vmas == 1
